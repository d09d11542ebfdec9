//! Exits of processes in the store.
//!
//! [`ExitRecord`]s <-> rows of `exits`. Only the newest are kept: they are many, and a kill has its own record.

use rusqlite::{OptionalExtension as _, TransactionBehavior, named_params};

use super::{Filter, Store, StoreError, columns::nanoseconds};
use crate::oom::exit::{ExitRecord, RuntimeExit};

/// The most exits that are kept.
const MOST: i64 = 20_000;

impl Store {
    /// Stores exits, all or none. Existing ones are replaced.
    ///
    /// # Errors
    /// When they could not be stored.
    pub fn insert_exits(&mut self, records: &[ExitRecord]) -> Result<(), StoreError> {
        let Self { connection, path, .. } = self;
        let failed = |error| StoreError::sqlite("store exits in", path, error);
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        for record in records {
            let json =
                serde_json::to_vec(record).map_err(|error| StoreError::record(&record.id, path, error))?;
            transaction
                .execute(
                    "INSERT OR REPLACE INTO exits (id, time_ns, cgroup, record)
                     VALUES (:id, :time_ns, :cgroup, :record)",
                    named_params! {
                        ":id": record.id,
                        ":time_ns": nanoseconds(record.time),
                        ":cgroup": record.task.cgroup,
                        ":record": json,
                    },
                )
                .map_err(failed)?;
        }
        transaction
            .execute(
                "DELETE FROM exits WHERE rowid <= (SELECT max(rowid) FROM exits) - :most",
                named_params! { ":most": MOST },
            )
            .map_err(failed)?;
        transaction.commit().map_err(failed)
    }

    /// Adds a container runtime's report to an exit; does nothing if the exit is not stored.
    ///
    /// # Errors
    /// When it could not be stored.
    pub fn add_runtime_to_exit(&mut self, id: &str, runtime: RuntimeExit) -> Result<(), StoreError> {
        let Self { connection, path, .. } = self;
        let failed = |error| StoreError::sqlite("update an exit in", path, error);
        let unreadable = |error| StoreError::record(id, path, error);
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let stored: Option<Vec<u8>> = transaction
            .query_row("SELECT record FROM exits WHERE id = ?1", [id], |row| row.get(0))
            .optional()
            .map_err(failed)?;
        let Some(stored) = stored else { return Ok(()) };
        let mut record: ExitRecord = serde_json::from_slice(&stored).map_err(unreadable)?;
        record.compare(runtime);
        let json = serde_json::to_vec(&record).map_err(unreadable)?;
        transaction
            .execute("UPDATE exits SET record = ?2 WHERE id = ?1", rusqlite::params![id, json])
            .map_err(failed)?;
        transaction.commit().map_err(failed)
    }

    /// The exits that pass the filter (time, cgroup and count), newest first; empty for an older version of the
    /// database.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn exits(&self, filter: &Filter) -> Result<Vec<ExitRecord>, StoreError> {
        let failed = |error| self.read_failed(error);
        let Filter { since, until, cgroup, limit, .. } = filter;
        let there: i64 = self
            .connection
            .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'exits'", [], |row| row.get(0))
            .map_err(failed)?;
        if there == 0 {
            return Ok(Vec::new());
        }
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT id, record FROM exits
                 WHERE (:since IS NULL OR time_ns >= :since)
                   AND (:until IS NULL OR time_ns < :until)
                   AND (:cgroup IS NULL OR instr(cgroup, :cgroup) > 0)
                 ORDER BY time_ns DESC, rowid DESC LIMIT :limit",
            )
            .map_err(failed)?;
        let parameters = named_params! {
            ":since": since.map(nanoseconds),
            ":until": until.map(nanoseconds),
            ":cgroup": cgroup,
            ":limit": limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(-1)),
        };
        let rows: Vec<(String, Vec<u8>)> = statement
            .query_map(parameters, |row| Ok((row.get(0)?, row.get(1)?)))
            .map_err(failed)?
            .collect::<rusqlite::Result<_>>()
            .map_err(failed)?;
        let read = |(id, json): (String, Vec<u8>)| {
            serde_json::from_slice(&json).map_err(|error| StoreError::record(&id, &self.path, error))
        };
        rows.into_iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Filter, Store};
    use crate::oom::{
        cause,
        exit::{ExitKind, ExitRecord, RuntimeExit, SCHEMA},
    };

    fn exit(id: &str, second: i64) -> ExitRecord {
        ExitRecord {
            schema: SCHEMA,
            id: id.into(),
            time: jiff::Timestamp::from_second(second).unwrap(),
            boot_id: "b".into(),
            task: cause::fixture::task(7, "app", "/pod/a"),
            container: None,
            is_main: true,
            kind: ExitKind::Exited,
            sentence: "it exited with 0".into(),
            exit_code: Some(0),
            signal: None,
            sender: None,
            oom_record: None,
            peak_rss_bytes: None,
            evidence: Vec::new(),
            runtime: None,
            disagreement: None,
        }
    }

    #[test]
    fn what_comes_back_is_what_went_in_newest_first() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        let (old, new) = (exit("a", 1), exit("b", 2));
        store.insert_exits(&[old.clone(), new.clone()]).unwrap();
        store.insert_exits(std::slice::from_ref(&old)).unwrap();
        assert_eq!(store.exits(&Filter::default()).unwrap(), [new.clone(), old]);
        let limited = Filter { limit: Some(1), cgroup: Some("pod".into()), ..Filter::default() };
        assert_eq!(store.exits(&limited).unwrap(), [new]);
    }

    #[test]
    fn what_the_runtime_says_is_added_and_stays_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        let (old, new) = (exit("a", 1), exit("b", 1));
        store.insert_exits(&[old.clone(), new.clone()]).unwrap();
        let said = RuntimeExit { reason: Some("OOMKilled".into()), exit_code: Some(0) };
        store.add_runtime_to_exit("a", said.clone()).unwrap();
        store.add_runtime_to_exit("nowhere", said.clone()).unwrap();
        let stored = store.exits(&Filter::default()).unwrap();
        assert_eq!(stored[0], new);
        assert_eq!((stored[1].id.as_str(), stored[1].runtime.as_ref()), ("a", Some(&said)));
        assert_eq!(
            stored[1].disagreement.as_deref(),
            Some("the runtime says OOMKilled; the kernel did not kill it: it exited with 0, exit 0")
        );
    }
}
