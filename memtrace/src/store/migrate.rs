//! Migrations of the database, one step per version.
//!
//! A connection -> the same database at [`CURRENT`]. A released step is never changed, and steps only add: readers do
//! not migrate, so their queries must work on every version since 1.

use rusqlite::{Connection, TransactionBehavior};

/// Step n migrates version n - 1 to version n; version 0 is an empty file.
const STEPS: &[&str] = &[
    // 1: the kills. The columns are for finding a record; the record itself is the JSON that users get.
    "CREATE TABLE kills (
         id TEXT NOT NULL UNIQUE,
         time_ns INTEGER NOT NULL,
         boot_id TEXT NOT NULL,
         scope TEXT NOT NULL,
         victim_pid INTEGER,
         victim_comm TEXT NOT NULL,
         cgroup TEXT,
         limit_owner TEXT,
         record BLOB NOT NULL
     ) STRICT;
     CREATE INDEX kills_by_time ON kills (time_ns);",
    // 2: columns to search by: names and cause.
    "ALTER TABLE kills ADD COLUMN namespace TEXT;
     ALTER TABLE kills ADD COLUMN pod TEXT;
     ALTER TABLE kills ADD COLUMN container TEXT;
     ALTER TABLE kills ADD COLUMN container_id TEXT;
     ALTER TABLE kills ADD COLUMN cause TEXT;
     ALTER TABLE kills ADD COLUMN source TEXT NOT NULL DEFAULT 'live';
     UPDATE kills SET
         namespace = json_extract(CAST(record AS TEXT), '$.container.namespace'),
         pod = json_extract(CAST(record AS TEXT), '$.container.pod'),
         container = json_extract(CAST(record AS TEXT), '$.container.container'),
         container_id = json_extract(CAST(record AS TEXT), '$.container.container_id'),
         cause = json_extract(CAST(record AS TEXT), '$.cause.kind'),
         source = coalesce(json_extract(CAST(record AS TEXT), '$.source'), 'live');
     CREATE INDEX kills_by_pod ON kills (namespace, pod);
     CREATE INDEX kills_by_cause ON kills (cause);
     CREATE INDEX kills_by_boot ON kills (boot_id);",
    // 3: kills of members while their container's first process lived; `container` survives restarts.
    "CREATE TABLE member_kills (
         container TEXT NOT NULL,
         record TEXT NOT NULL UNIQUE,
         time_ns INTEGER NOT NULL,
         comm TEXT NOT NULL,
         name BLOB NOT NULL
     ) STRICT;
     CREATE INDEX member_kills_by_container ON member_kills (container);",
    // 4: how processes ended.
    "CREATE TABLE exits (
         id TEXT NOT NULL UNIQUE,
         time_ns INTEGER NOT NULL,
         cgroup TEXT,
         record BLOB NOT NULL
     ) STRICT;
     CREATE INDEX exits_by_time ON exits (time_ns);",
    // 5: permanent counts of kills: old records are deleted, but counters must not fall.
    "CREATE TABLE tallies (
         namespace TEXT NOT NULL,
         pod TEXT NOT NULL,
         container TEXT NOT NULL,
         scope TEXT NOT NULL,
         cause TEXT NOT NULL,
         kills INTEGER NOT NULL,
         victims INTEGER NOT NULL,
         last_ns INTEGER NOT NULL,
         PRIMARY KEY (namespace, pod, container, scope, cause)
     ) STRICT;
     INSERT INTO tallies
         SELECT coalesce(namespace, ''), coalesce(pod, ''),
                coalesce(container, CASE WHEN pod IS NULL THEN coalesce(cgroup, '') ELSE '' END),
                CASE scope WHEN 'global' THEN 'node' ELSE scope END, coalesce(cause, 'unknown'),
                count(*), count(*), max(time_ns) FROM kills GROUP BY 1, 2, 3, 4, 5;",
    // 6: the same for kills of members, of which only the newest are kept.
    "CREATE TABLE member_tallies (
         namespace TEXT NOT NULL,
         pod TEXT NOT NULL,
         container TEXT NOT NULL,
         kills INTEGER NOT NULL,
         last_ns INTEGER NOT NULL,
         PRIMARY KEY (namespace, pod, container)
     ) STRICT;
     INSERT INTO member_tallies
         SELECT coalesce(name ->> 'namespace', ''), coalesce(name ->> 'pod', name ->> 'pod_uid', ''),
                coalesce(name ->> 'container', CASE WHEN coalesce(name ->> 'pod', name ->> 'pod_uid') IS NULL
                    THEN substr(name ->> 'container_id', 1, 12) END, name ->> 'unit', ''),
                count(*), max(time_ns)
         FROM (SELECT time_ns, CAST(name AS TEXT) AS name FROM member_kills) GROUP BY 1, 2, 3;",
    // 7: the store's own time, by which kills grow old: that of each kill, and its last reading.
    "ALTER TABLE kills ADD COLUMN stored_ns INTEGER;
     UPDATE kills SET stored_ns = time_ns;
     CREATE INDEX kills_by_age ON kills (stored_ns);
     CREATE TABLE store_time (
         one INTEGER PRIMARY KEY CHECK (one = 1),
         time_ns INTEGER NOT NULL,
         boot_id TEXT NOT NULL,
         boot_ns INTEGER NOT NULL
     ) STRICT;",
    // 8: five-minute rows of workloads. A key is the number of the five minutes since 1970 and that of the workload.
    "CREATE TABLE workloads (
         number INTEGER PRIMARY KEY,
         namespace TEXT NOT NULL,
         owner TEXT NOT NULL,
         container TEXT NOT NULL,
         image TEXT NOT NULL,
         kind TEXT NOT NULL,
         last_slot INTEGER NOT NULL,
         UNIQUE (namespace, owner, container, image)
     ) STRICT;
     CREATE TABLE workload_rows (
         key INTEGER PRIMARY KEY,
         row BLOB NOT NULL
     ) STRICT;
     CREATE TABLE workload_rows_size (
         one INTEGER PRIMARY KEY CHECK (one = 1),
         rows INTEGER NOT NULL,
         bytes INTEGER NOT NULL
     ) STRICT;
     INSERT INTO workload_rows_size VALUES (1, 0, 0);",
];

/// The version that this program writes.
pub(super) const CURRENT: i64 = STEPS.len() as i64;

/// The version of the database. It is read first, so this also detects files that are no database.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Applies all missing steps in one transaction.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version = version(&transaction)?;
    for (step, number) in STEPS.iter().zip(1_i64..) {
        if number > version {
            transaction.execute_batch(step)?;
            transaction.pragma_update(None, "user_version", number)?;
        }
    }
    transaction.commit()
}
