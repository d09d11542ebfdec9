//! Counts of kills by container, scope and cause: they survive restarts of the container and of the daemon, and outlive
//! the records.
//!
//! Records, when they are stored -> rows of `tallies` -> [`Tally`]s. A count never falls: rows without recent kills are
//! added up in a row without names.

use jiff::Timestamp;
use rusqlite::{Transaction, named_params};

use super::{
    Store, StoreError,
    columns::{nanoseconds, word},
};
use crate::{
    container::workload_labels::WorkloadLabels,
    oom::{
        cause::CauseKind,
        record::{OomRecord, ScopeKind},
    },
};

/// The most rows that are kept; those with the newest kills stay.
const MOST: i64 = 10_000;

/// The kills of one container, of one scope and cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The labels of the container; empty for the row without names.
    pub join: WorkloadLabels,
    /// `memcg`, `pod`, `node`, `cpuset`, `unknown`.
    pub scope: String,
    /// The first known cause, as in JSON; or `unknown`.
    pub cause: String,
    /// Number of records.
    pub kills: u64,
    /// Number of victims; more than `kills` if groups are killed as a whole.
    pub victims: u64,
    /// Time of the newest kill.
    pub last: Timestamp,
}

/// Adds to a record's row.
pub(super) fn add(
    transaction: &Transaction<'_>,
    record: &OomRecord,
    kills: u64,
    victims: u64,
) -> rusqlite::Result<()> {
    let OomRecord { circumstances, victim, .. } = record;
    let WorkloadLabels { namespace, pod, container } =
        WorkloadLabels::of(circumstances.container.as_ref(), victim.task.cgroup.as_deref());
    let cause = circumstances.cause.as_ref().and_then(|cause| word(cause.kind));
    transaction.execute(
        "INSERT INTO tallies (namespace, pod, container, scope, cause, kills, victims, last_ns)
         VALUES (:namespace, :pod, :container, :scope, :cause, :kills, :victims, :last)
         ON CONFLICT (namespace, pod, container, scope, cause) DO UPDATE SET
             kills = kills + :kills, victims = victims + :victims, last_ns = max(last_ns, :last)",
        named_params! {
            ":namespace": namespace,
            ":pod": pod,
            ":container": container,
            ":scope": scope(record),
            ":cause": cause.unwrap_or_else(|| "unknown".to_owned()),
            ":kills": i64::try_from(kills).unwrap_or(i64::MAX),
            ":victims": i64::try_from(victims).unwrap_or(i64::MAX),
            ":last": nanoseconds(record.time),
        },
    )?;
    Ok(())
}

/// The scope for dashboards.
fn scope(record: &OomRecord) -> &'static str {
    let circumstances = &record.circumstances;
    let is_confined =
        circumstances.cause.as_ref().is_some_and(|cause| cause.kind == CauseKind::CpusetOrPolicy);
    let owner = circumstances.limit_owner_name.as_ref();
    // The limit of the pod's own cgroup, not of a container.
    let is_pods = owner.is_some_and(|owner| {
        let is_container = owner.container.is_some() || owner.container_id.is_some();
        owner.pod_uid.is_some() && !is_container
    });
    match record.scope.kind {
        ScopeKind::Memcg if is_pods => "pod",
        ScopeKind::Memcg => "memcg",
        ScopeKind::Global if is_confined => "cpuset",
        ScopeKind::Global => "node",
        ScopeKind::Unknown => "unknown",
    }
}

impl Store {
    /// All counts, those with the newest kills first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn tallies(&self) -> Result<Vec<Tally>, StoreError> {
        let failed = |error| self.read_failed(error);
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT namespace, pod, container, scope, cause, kills, victims, last_ns FROM tallies
                 ORDER BY last_ns DESC, namespace, pod, container, scope, cause",
            )
            .map_err(failed)?;
        let rows = statement
            .query_map([], |row| {
                let count = |at| row.get::<_, i64>(at).map(i64::unsigned_abs);
                Ok(Tally {
                    join: WorkloadLabels { namespace: row.get(0)?, pod: row.get(1)?, container: row.get(2)? },
                    scope: row.get(3)?,
                    cause: row.get(4)?,
                    kills: count(5)?,
                    victims: count(6)?,
                    last: Timestamp::from_nanosecond(row.get::<_, i64>(7)?.into()).unwrap_or_default(),
                })
            })
            .map_err(failed)?;
        rows.collect::<rusqlite::Result<Vec<_>>>().map_err(failed)
    }

    /// Counts further victims of stored kills: other members of a group that was killed as a whole.
    ///
    /// # Errors
    /// When they could not be stored.
    pub fn count_victims(&mut self, more: &[OomRecord]) -> Result<(), StoreError> {
        let Self { connection, path, .. } = self;
        let failed = |error| StoreError::sqlite("count kills in", path, error);
        let transaction = connection.transaction().map_err(failed)?;
        for record in more {
            add(&transaction, record, 0, 1).map_err(failed)?;
        }
        transaction.commit().map_err(failed)
    }

    /// Adds up excess rows.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn keep_tallies(&mut self) -> Result<(), StoreError> {
        self.keep_most_tallies(MOST)
    }

    pub(super) fn keep_most_tallies(&mut self, most: i64) -> Result<(), StoreError> {
        let Self { connection, path, .. } = self;
        let failed = |error| StoreError::sqlite("add up the counts of kills in", path, error);
        let transaction = connection.transaction().map_err(failed)?;
        add_up(&transaction, "tallies", &["scope", "cause"], &["kills", "victims"], most).map_err(failed)?;
        add_up(&transaction, "member_tallies", &[], &["kills"], most).map_err(failed)?;
        transaction.commit().map_err(failed)
    }
}

/// Adds up excess rows of a table of counts, in a row without names for each kind; the newest `most` rows stay.
fn add_up(
    transaction: &Transaction<'_>,
    table: &str,
    kinds: &[&str],
    counts: &[&str],
    most: i64,
) -> rusqlite::Result<()> {
    let old = format!(
        "WHERE namespace || pod || container <> '' AND rowid NOT IN
         (SELECT rowid FROM {table} WHERE namespace || pod || container <> ''
          ORDER BY last_ns DESC, rowid LIMIT ?1)"
    );
    let each = |of: &[&str], form: fn(&str) -> String| of.iter().map(|name| form(name)).collect::<String>();
    let (names, sums) =
        (each(kinds, |kind| format!(", {kind}")), each(counts, |count| format!(", sum({count})")));
    let more = each(counts, |count| format!("{count} = {count} + excluded.{count}, "));
    let columns = format!("namespace, pod, container{names}{}", each(counts, |count| format!(", {count}")));
    transaction.execute(
        &format!(
            "INSERT INTO {table} ({columns}, last_ns)
             SELECT '', '', ''{names}{sums}, max(last_ns) FROM {table} {old}
             GROUP BY namespace IS NULL{names} HAVING count(*) > 0
             ON CONFLICT (namespace, pod, container{names}) DO UPDATE SET
                 {more}last_ns = max(last_ns, excluded.last_ns)"
        ),
        [most],
    )?;
    transaction.execute(&format!("DELETE FROM {table} {old}"), [most]).map(drop)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Tally;
    use crate::{
        container::name::Name,
        oom::record::OomRecord,
        store::{Now, Retention, Store, fixture::record},
    };

    fn of(n: u32, container: &str) -> OomRecord {
        let mut record = record(n);
        record.circumstances.container = Some(Name {
            namespace: Some("shop".into()),
            pod: Some("cart-0".into()),
            container: Some(container.into()),
            ..Name::default()
        });
        record
    }

    fn counts(store: &Store) -> Vec<(String, u64, u64)> {
        let of = |tally: Tally| (tally.join.container, tally.kills, tally.victims);
        store.tallies().unwrap().into_iter().map(of).collect()
    }

    #[test]
    fn counts_outlive_the_records_and_the_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        let redis: Vec<_> = (0..5).map(|n| of(n, "redis")).collect();
        store.insert_kills(&redis).unwrap();
        // Storing the same kill again does not count.
        store.insert_kills(&redis).unwrap();
        let mut group = of(5, "web");
        group.circumstances.more_victims = vec![record(6).victim, record(7).victim];
        store.insert_kills(&[group.clone()]).unwrap();
        store.count_victims(&[group]).unwrap();
        let expected = [("web".to_owned(), 1, 4), ("redis".to_owned(), 5, 5)];
        assert_eq!(counts(&store), expected);
        let now = Now { wall: record(99).time, since_boot: 0, boot_id: "boot".into() };
        let none = Retention { age: Some(Duration::ZERO), bytes: u64::MAX };
        assert!(store.keep(none, &now).unwrap() > 0);
        drop(store);
        assert_eq!(counts(&Store::open(dir.path()).unwrap()), expected);
    }

    #[test]
    fn what_there_is_no_room_for_is_added_up() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        store.insert_kills(&(0..6).map(|n| of(n, &format!("c{n}"))).collect::<Vec<_>>()).unwrap();
        let sum = |store: &Store| counts(store).iter().map(|(_, kills, _)| kills).sum::<u64>();
        for most in [4, 3, 3] {
            store.keep_most_tallies(most).unwrap();
            assert_eq!(sum(&store), 6);
        }
        let names: Vec<_> = counts(&store).into_iter().map(|(name, kills, _)| (name, kills)).collect();
        assert!(names.contains(&("c5".to_owned(), 1)) && names.contains(&(String::new(), 3)), "{names:?}");
    }
}
