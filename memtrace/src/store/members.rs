//! The kills of members while their container's first process lived, and later additions to stored kills.
//!
//! [`MemberKill`]s <-> rows of `member_kills`; a runtime's report of a kill -> its record. Must not remove facts.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Transaction, TransactionBehavior, named_params};

use super::{Store, StoreError, columns::nanoseconds};
use crate::{
    container::{name::Name, workload_labels::WorkloadLabels},
    oom::{
        exit::{ExitKind, RuntimeExit, disagreement, says},
        record::{OomRecord, circumstances::Outcome},
    },
};

/// The exit status of a process killed by SIGKILL, as `wait` sees it.
const KILLED: u32 = 9;
/// The most entries that are kept; the newest stay.
const MOST: i64 = 10_000;

/// A member of a container was killed, and the container lived on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberKill {
    /// The key that survives a restart of the container.
    pub container: String,
    /// Id of the record of the kill.
    pub record: String,
    /// Time of the kill.
    pub time: Timestamp,
    /// Name of the process.
    pub comm: String,
    /// Names of the container.
    pub name: Name,
}

impl Store {
    /// Stores a kill, once, and returns the count of its container.
    ///
    /// # Errors
    /// When it could not be stored.
    pub fn insert_member_kill(&mut self, kill: &MemberKill) -> Result<u64, StoreError> {
        let Self { connection, path, .. } = self;
        let failed = |error| StoreError::sqlite("store the kill of a container process in", path, error);
        let name =
            serde_json::to_vec(&kill.name).map_err(|error| StoreError::record(&kill.record, path, error))?;
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let time = nanoseconds(kill.time);
        let is_new = transaction
            .execute(
                "INSERT INTO member_kills (container, record, time_ns, comm, name)
                 VALUES (:container, :record, :time_ns, :comm, :name) ON CONFLICT (record) DO NOTHING",
                named_params! {
                    ":container": kill.container,
                    ":record": kill.record,
                    ":time_ns": time,
                    ":comm": kill.comm,
                    ":name": name,
                },
            )
            .map_err(failed)?
            > 0;
        if is_new {
            count(&transaction, &WorkloadLabels::of(Some(&kill.name), None), time).map_err(failed)?;
        }
        transaction
            .execute(
                "DELETE FROM member_kills WHERE rowid NOT IN
                 (SELECT rowid FROM member_kills ORDER BY time_ns DESC LIMIT :most)",
                named_params! { ":most": MOST },
            )
            .map_err(failed)?;
        let kills: i64 = transaction
            .query_row(
                "SELECT count(*) FROM member_kills WHERE container = :container",
                named_params! { ":container": kill.container },
                |row| row.get(0),
            )
            .map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(u64::try_from(kills).unwrap_or_default())
    }

    /// The number of such kills of each container.
    ///
    /// # Errors
    /// When they could not be read.
    pub fn member_kills(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let failed =
            |error| StoreError::sqlite("read the kills of container processes from", &self.path, error);
        let mut query = self
            .connection
            .prepare("SELECT container, count(*) FROM member_kills GROUP BY container ORDER BY container")
            .map_err(failed)?;
        let rows = query
            .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))
            .map_err(failed)?;
        rows.map(|row| row.map(|(container, count)| (container, u64::try_from(count).unwrap_or_default())))
            .collect::<Result<_, _>>()
            .map_err(failed)
    }

    /// All such kills ever, by the labels of series, newest kill first. Successive containers of the same name count as
    /// one.
    ///
    /// # Errors
    /// When they could not be read.
    pub fn member_tallies(&self) -> Result<Vec<(WorkloadLabels, u64)>, StoreError> {
        let failed =
            |error| StoreError::sqlite("read the kills of container processes from", &self.path, error);
        let mut query = self
            .connection
            .prepare_cached(
                "SELECT namespace, pod, container, kills FROM member_tallies
                 ORDER BY last_ns DESC, namespace, pod, container",
            )
            .map_err(failed)?;
        let rows = query
            .query_map([], |row| {
                let join =
                    WorkloadLabels { namespace: row.get(0)?, pod: row.get(1)?, container: row.get(2)? };
                Ok((join, row.get::<_, i64>(3)?.unsigned_abs()))
            })
            .map_err(failed)?;
        rows.collect::<rusqlite::Result<Vec<_>>>().map_err(failed)
    }

    /// Updates stored records that got more facts, all or none; records that are not stored are skipped. A runtime's
    /// report that was added meanwhile is kept.
    ///
    /// # Errors
    /// When they could not be stored; then the old ones are kept.
    pub fn update_kills<'a>(
        &mut self,
        records: impl IntoIterator<Item = &'a OomRecord>,
    ) -> Result<(), StoreError> {
        let Self { connection, path, .. } = self;
        let failed = |error| StoreError::sqlite("update kills in", path, error);
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        for record in records {
            let Some(stored) = stored(&transaction, &record.id).map_err(failed)? else { continue };
            // A record that this version cannot read may contain more, so it is not changed.
            let Ok(stored) = serde_json::from_slice::<OomRecord>(&stored) else { continue };
            let mut record = record.clone();
            let said = stored.circumstances.outcome.filter(|said| said.runtime_exit_code.is_some());
            if let Some(said) = said {
                let outcome = record.circumstances.outcome.get_or_insert_default();
                outcome.runtime_reason = said.runtime_reason;
                outcome.runtime_exit_code = said.runtime_exit_code;
                outcome.disagreement = outcome.disagreement.take().or(said.disagreement);
            }
            write(&transaction, path, &record)?;
        }
        transaction.commit().map_err(failed)
    }

    /// Adds a container runtime's report to the record of a kill; does nothing if the record is not stored.
    ///
    /// # Errors
    /// When it could not be stored.
    pub fn add_runtime(&mut self, id: &str, reason: Option<&str>, exit_code: i32) -> Result<(), StoreError> {
        let Self { connection, path, .. } = self;
        let failed = |error| StoreError::sqlite("update a kill in", path, error);
        let unreadable = |error| StoreError::record(id, path, error);
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let stored = stored(&transaction, id).map_err(failed)?;
        let Some(stored) = stored else { return Ok(()) };
        let mut record: OomRecord = serde_json::from_slice(&stored).map_err(unreadable)?;
        let outcome = record.circumstances.outcome.get_or_insert_with(Outcome::default);
        outcome.runtime_reason = reason.map(str::to_owned);
        outcome.runtime_exit_code = Some(exit_code);
        if outcome.disagreement.is_none() {
            let said = RuntimeExit { reason: reason.map(str::to_owned), exit_code: Some(exit_code) };
            let says = says(record.circumstances.container.as_ref());
            outcome.disagreement = disagreement(ExitKind::OomKill, "", KILLED, says, &said);
        }
        write(&transaction, path, &record)?;
        transaction.commit().map_err(failed)
    }
}

/// Adds one to a container's count.
fn count(transaction: &Transaction<'_>, of: &WorkloadLabels, time: i64) -> rusqlite::Result<()> {
    let WorkloadLabels { namespace, pod, container } = of;
    transaction
        .execute(
            "INSERT INTO member_tallies (namespace, pod, container, kills, last_ns)
             VALUES (:namespace, :pod, :container, 1, :last)
             ON CONFLICT (namespace, pod, container) DO UPDATE SET
                 kills = kills + 1, last_ns = max(last_ns, :last)",
            named_params! { ":namespace": namespace, ":pod": pod, ":container": container, ":last": time },
        )
        .map(drop)
}

fn stored(transaction: &Transaction<'_>, id: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut statement = transaction.prepare_cached("SELECT record FROM kills WHERE id = ?1")?;
    statement.query_row([id], |row| row.get(0)).optional()
}

fn write(transaction: &Transaction<'_>, path: &Path, record: &OomRecord) -> Result<(), StoreError> {
    let failed = |error| StoreError::sqlite("update a kill in", path, error);
    let json = serde_json::to_vec(record).map_err(|error| StoreError::record(&record.id, path, error))?;
    let mut statement = transaction
        .prepare_cached(
            "UPDATE kills SET record = :record, cause = json_extract(CAST(:record AS TEXT), '$.cause.kind')
             WHERE id = :id",
        )
        .map_err(failed)?;
    statement.execute(named_params! { ":record": json, ":id": record.id }).map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{MemberKill, Name, Store};
    use crate::store::fixture::record;

    #[test]
    fn what_has_the_labels_of_one_container_is_counted_together() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        // A recreated pod has another uid.
        for (n, container) in (0..).zip(["old/a", "old/b", "old/a", "new/b"]) {
            let name =
                Name { container: container.split('/').next_back().map(str::to_owned), ..Name::default() };
            let (container, comm) = (container.to_owned(), "worker".to_owned());
            let kill = MemberKill { container, record: record(n).id, time: record(n).time, comm, name };
            store.insert_member_kill(&kill).unwrap();
            // Storing the same kill again does not count.
            store.insert_member_kill(&kill).unwrap();
        }
        let tallies = |store: &Store| {
            let tallies = store.member_tallies().unwrap().into_iter();
            tallies.map(|(join, count)| (join.container, count)).collect::<Vec<_>>()
        };
        let expected = [("b".to_owned(), 2), ("a".to_owned(), 2)];
        assert_eq!(tallies(&store), expected, "the newest kill first");

        // Excess rows are added up in a row without names, so the sum is kept.
        store.keep_most_tallies(1).unwrap();
        assert_eq!(tallies(&store), [("b".to_owned(), 2), (String::new(), 2)]);

        // Rows of an older version, which counted the rows themselves, give the same counts.
        let older = "DROP TABLE member_tallies; DROP TABLE store_time; DROP INDEX kills_by_age;
             DROP TABLE workloads; DROP TABLE workload_rows; DROP TABLE workload_rows_size;
             ALTER TABLE kills DROP COLUMN stored_ns; PRAGMA user_version = 5";
        store.connection.execute_batch(older).unwrap();
        drop(store);
        assert_eq!(tallies(&Store::open(dir.path()).unwrap()), expected);
    }
}
