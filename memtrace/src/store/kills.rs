//! The OOM kills in the store: writing them, and finding them again.
//!
//! [`OomRecord`]s <-> rows of `kills`. Must not change a record: what comes back equals what went in.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, Transaction, TransactionBehavior, named_params};
use serde::{Deserialize, Serialize};

use super::{
    Store, StoreError,
    columns::{nanoseconds, scope_name, scope_of, word},
    migrate, tallies,
};
use crate::oom::record::{OomRecord, ScopeKind, circumstances::Source};

/// The most ids listed for an ambiguous prefix.
const MATCHES_SHOWN: usize = 8;

/// Which kills to list; the default is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// At this time or later.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// Text in the path of the victim's cgroup, or of the one whose limit was hit.
    pub cgroup: Option<String>,
    /// Text in the name of the victim's process.
    pub comm: Option<String>,
    /// Namespace of the victim's pod.
    pub namespace: Option<String>,
    /// Its pod.
    pub pod: Option<String>,
    /// Its container: the name, or a prefix of the id.
    pub container: Option<String>,
    /// The cause, as in JSON.
    pub cause: Option<String>,
    /// At most this many, the newest.
    pub limit: Option<usize>,
}

/// A kill in one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillSummary {
    /// The record's id.
    pub id: String,
    /// When the kernel marked the victim.
    pub time: Timestamp,
    /// The boot that it happened in.
    pub boot_id: String,
    /// What ran out of memory.
    pub scope: ScopeKind,
    /// The victim's process id.
    pub victim_pid: Option<u32>,
    /// Name of the victim's process; of its thread when only that is known.
    pub victim_comm: String,
    /// The victim's memory cgroup.
    pub cgroup: Option<String>,
    /// The cgroup whose limit was hit.
    pub limit_owner: Option<String>,
    /// Namespace of the victim's pod.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Its pod.
    #[serde(default)]
    pub pod: Option<String>,
    /// Its container.
    #[serde(default)]
    pub container: Option<String>,
    /// The cause, as in the record; `None` in records from before causes existed.
    #[serde(default)]
    pub cause: Option<String>,
    /// Whether it was traced live, or found in the kernel log.
    #[serde(default)]
    pub source: Source,
}

impl Store {
    /// Stores kills, all or none, and returns how many were new; existing kills are not changed. They are durable when
    /// this returns.
    ///
    /// # Errors
    /// When they could not be stored; [`StoreError::is_full`] means that a later try may work.
    pub fn insert_kills(&mut self, records: &[OomRecord]) -> Result<usize, StoreError> {
        let stored = self.time();
        let Self { connection, path, .. } = self;
        let failed = |error| StoreError::sqlite("store kills in", path, error);
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let mut new = 0;
        for record in records {
            let inserted = insert(&transaction, path, record, stored)?;
            if inserted > 0 {
                let victims = 1 + record.circumstances.more_victims.len() as u64;
                tallies::add(&transaction, record, 1, victims).map_err(failed)?;
            }
            new += inserted;
        }
        transaction.commit().map_err(failed)?;
        Ok(new)
    }

    /// Replaces a record by another one of the same kill, which was first found in the kernel log.
    ///
    /// # Errors
    /// When it could not be stored; then the old record is kept.
    pub fn replace_kill(&mut self, id: &str, record: &OomRecord) -> Result<(), StoreError> {
        let stored = self.time();
        let Self { connection, path, .. } = self;
        let failed = |error| StoreError::sqlite("store kills in", path, error);
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        transaction.execute("DELETE FROM kills WHERE id = ?1", [id]).map_err(failed)?;
        insert(&transaction, path, record, stored)?;
        transaction.commit().map_err(failed)
    }

    /// Passes the records of one boot to `take`, oldest first; unreadable ones are left out. They are never all in
    /// memory: there may be as many as the store may hold.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn each_kill_of_boot(
        &self,
        boot_id: &str,
        mut take: impl FnMut(&OomRecord),
    ) -> Result<(), StoreError> {
        let failed = |error| self.read_failed(error);
        let mut statement = self
            .connection
            // With the index of boots all records would be sorted, in memory or in a file.
            .prepare_cached("SELECT record FROM kills WHERE +boot_id = ?1 ORDER BY time_ns, rowid")
            .map_err(failed)?;
        for json in statement.query_map([boot_id], |row| row.get::<_, Vec<u8>>(0)).map_err(failed)? {
            if let Ok(record) = serde_json::from_slice(&json.map_err(failed)?) {
                take(&record);
            }
        }
        Ok(())
    }

    /// The record with this id, or the only one whose id has this prefix.
    ///
    /// # Errors
    /// When the store cannot be read, or the prefix matches several records.
    pub fn kill(&self, id_or_prefix: &str) -> Result<Option<OomRecord>, StoreError> {
        if id_or_prefix.is_empty() {
            return Ok(None);
        }
        let failed = |error| self.read_failed(error);
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT id FROM kills WHERE instr(id, :prefix) = 1
                 ORDER BY id <> :prefix, time_ns, rowid LIMIT :limit",
            )
            .map_err(failed)?;
        let mut ids = statement
            .query_map(named_params! { ":prefix": id_or_prefix, ":limit": MATCHES_SHOWN as i64 + 1 }, |row| {
                row.get(0)
            })
            .map_err(failed)?
            .collect::<rusqlite::Result<Vec<String>>>()
            .map_err(failed)?;
        match ids.as_slice() {
            [] => Ok(None),
            // An exact match wins, even when it is a prefix of another id.
            [id, rest @ ..] if rest.is_empty() || id == id_or_prefix => {
                self.one("WHERE id = :key", named_params! { ":key": id })
            }
            _ => {
                let more = ids.len() > MATCHES_SHOWN;
                ids.truncate(MATCHES_SHOWN);
                Err(StoreError::Ambiguous { prefix: id_or_prefix.to_owned(), matches: ids, more })
            }
        }
    }

    /// The newest kill.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn last_kill(&self) -> Result<Option<OomRecord>, StoreError> {
        self.one("ORDER BY time_ns DESC, rowid DESC LIMIT 1", &[])
    }

    /// The kills that pass the filter, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self, filter: &Filter) -> Result<Vec<KillSummary>, StoreError> {
        let failed = |error| self.read_failed(error);
        let Filter { since, until, cgroup, comm, namespace, pod, container, cause, limit } = filter;
        // A reader does not migrate: a store that was never opened by a daemon of this version has no name columns.
        let kills = match migrate::version(&self.connection).map_err(failed)? {
            ..2 => {
                "(SELECT *, NULL AS namespace, NULL AS pod, NULL AS container, NULL AS container_id,
                         NULL AS cause, 'live' AS source FROM kills)"
            }
            2.. => "kills",
        };
        let mut statement = self
            .connection
            .prepare_cached(&format!(
                "SELECT id, time_ns, boot_id, scope, victim_pid, victim_comm, cgroup, limit_owner, namespace, pod,
                        coalesce(container, substr(container_id, 1, 12)), cause, source FROM {kills}
                 WHERE (:since IS NULL OR time_ns >= :since)
                   AND (:until IS NULL OR time_ns < :until)
                   AND (:cgroup IS NULL OR instr(cgroup, :cgroup) > 0 OR instr(limit_owner, :cgroup) > 0)
                   AND (:comm IS NULL OR instr(victim_comm, :comm) > 0)
                   AND (:namespace IS NULL OR namespace = :namespace)
                   AND (:pod IS NULL OR pod = :pod)
                   AND (:container IS NULL OR container = :container OR instr(container_id, :container) = 1)
                   AND (:cause IS NULL OR cause = :cause)
                 ORDER BY time_ns DESC, id DESC LIMIT :limit"
            ))
            .map_err(failed)?;
        let parameters = named_params! {
            ":since": since.map(nanoseconds),
            ":until": until.map(nanoseconds),
            ":cgroup": cgroup,
            ":comm": comm,
            ":namespace": namespace,
            ":pod": pod,
            ":container": container,
            ":cause": cause,
            // -1 is SQL's "no limit".
            ":limit": limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(-1)),
        };
        let rows = statement.query_map(parameters, summary).map_err(failed)?;
        rows.collect::<rusqlite::Result<Vec<_>>>().map_err(failed)
    }

    /// The number of stored kills.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn count(&self) -> Result<u64, StoreError> {
        let count: i64 = self
            .connection
            .query_row("SELECT count(*) FROM kills", [], |row| row.get(0))
            .map_err(|error| self.read_failed(error))?;
        Ok(count.unsigned_abs())
    }

    fn one(
        &self,
        which: &'static str,
        parameters: &[(&str, &dyn rusqlite::ToSql)],
    ) -> Result<Option<OomRecord>, StoreError> {
        let row: Option<(String, Vec<u8>)> = self
            .connection
            .query_row(&format!("SELECT id, record FROM kills {which}"), parameters, |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()
            .map_err(|error| self.read_failed(error))?;
        row.map(|(id, json)| {
            serde_json::from_slice(&json).map_err(|error| StoreError::record(&id, &self.path, error))
        })
        .transpose()
    }

    pub(super) fn read_failed(&self, error: rusqlite::Error) -> StoreError {
        StoreError::sqlite("read kills from", &self.path, error)
    }
}

fn summary(row: &Row<'_>) -> rusqlite::Result<KillSummary> {
    let time_ns: i64 = row.get(1)?;
    let scope: String = row.get(3)?;
    Ok(KillSummary {
        id: row.get(0)?,
        // Every i64 of nanoseconds is a valid timestamp.
        time: Timestamp::from_nanosecond(time_ns.into()).unwrap_or_default(),
        boot_id: row.get(2)?,
        scope: scope_of(&scope),
        victim_pid: row.get(4)?,
        victim_comm: row.get(5)?,
        cgroup: row.get(6)?,
        limit_owner: row.get(7)?,
        namespace: row.get(8)?,
        pod: row.get(9)?,
        container: row.get(10)?,
        cause: row.get(11)?,
        source: if row.get::<_, String>(12)? == "kernel_log" { Source::KernelLog } else { Source::Live },
    })
}

/// Inserts a kill; 0 when it already exists. `stored` is the store's time; without one, the kill's own is used.
fn insert(
    transaction: &Transaction<'_>,
    path: &Path,
    record: &OomRecord,
    stored: Option<i64>,
) -> Result<usize, StoreError> {
    let failed = |error| StoreError::sqlite("store kills in", path, error);
    let OomRecord { circumstances, victim, .. } = record;
    let (task, name) = (&victim.task, circumstances.container.as_ref());
    let json = serde_json::to_vec(record).map_err(|error| StoreError::record(&record.id, path, error))?;
    let mut statement = transaction
        .prepare_cached(
            "INSERT INTO kills (id, time_ns, boot_id, scope, victim_pid, victim_comm, cgroup, limit_owner,
                                namespace, pod, container, container_id, cause, source, record, stored_ns)
             VALUES (:id, :time_ns, :boot_id, :scope, :victim_pid, :victim_comm, :cgroup, :limit_owner,
                     :namespace, :pod, :container, :container_id, :cause, :source, :record, :stored_ns)
             ON CONFLICT (id) DO NOTHING",
        )
        .map_err(failed)?;
    statement
        .execute(named_params! {
            ":id": record.id,
            ":time_ns": nanoseconds(record.time),
            ":boot_id": record.boot_id,
            ":scope": scope_name(record.scope.kind),
            ":victim_pid": task.pid,
            ":victim_comm": task.process_comm.as_ref().unwrap_or(&task.comm),
            ":cgroup": task.cgroup,
            ":limit_owner": record.limit_owner.as_ref().and_then(|owner| owner.path.as_ref()),
            ":namespace": name.and_then(|name| name.namespace.as_ref()),
            ":pod": name.and_then(|name| name.pod.as_ref()),
            ":container": name.and_then(|name| name.container.as_ref()),
            ":container_id": name.and_then(|name| name.container_id.as_ref()),
            ":cause": circumstances.cause.as_ref().and_then(|cause| word(cause.kind)),
            ":source": word(circumstances.source),
            ":record": json,
            ":stored_ns": stored.unwrap_or_else(|| nanoseconds(record.time)),
        })
        .map_err(failed)
}
