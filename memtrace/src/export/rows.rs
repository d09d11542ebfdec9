//! Five minutes of a workload as a flat row.
//!
//! [`Workload`] and [`Row`] -> values by column. Pure. Columns are added at the end, and neither renamed nor removed.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::table::{Column, value};
use crate::{
    container::workload::Workload,
    history::lasting::{ArenaUse, Row, SLOT},
};

/// Five minutes of a workload.
#[derive(Clone, Debug)]
pub struct WorkloadRow {
    /// The workload.
    pub workload: Arc<Workload>,
    /// Its five minutes.
    pub row: Row,
}

const fn column(
    name: &'static str,
    about: &'static str,
    get: fn(&WorkloadRow) -> Value,
) -> Column<WorkloadRow> {
    Column { name, about, get }
}

/// The columns.
pub static COLUMNS: &[Column<WorkloadRow>] = &[
    column("schema", "version of these columns: 1", |_| value(1)),
    column("time", "begin of the five minutes, RFC 3339 in UTC", |of| value(begin(&of.row))),
    column("workload", "`namespace/owner/container`, or a unit, or a cgroup", |of| {
        value(of.workload.label())
    }),
    column("namespace", "Kubernetes namespace", |of| word(&of.workload.namespace)),
    column("owner", "owner of the pods: a Deployment, a StatefulSet, ...", |of| word(&of.workload.owner)),
    column("owner_kind", "its kind, as the names of the pods tell it", |of| word(of.workload.kind.name())),
    column("container", "container; else the unit, else the cgroup", |of| word(&of.workload.container)),
    column("image", "image, as requested; versions have rows of their own", |of| word(&of.workload.image)),
    column("readings", "readings: one per second and instance", |of| value(of.row.readings)),
    column("aged_readings", "those whose page cache was read more than two seconds before", |of| {
        value(of.row.aged)
    }),
    column("high_bytes", "highest memory that cannot be reclaimed, without start-up", |of| {
        value(of.row.high)
    }),
    column("crest_bytes", "the same between two readings", |of| value(of.row.crest)),
    column("median_bytes", "its median", |of| value(of.row.median)),
    column("low_bytes", "its lowest reading", |of| value(of.row.low)),
    column("start_bytes", "its highest reading during start-up", |of| value(of.row.start)),
    column("rise_bytes", "its largest rise in one second, without start-up", |of| value(of.row.rise)),
    column("second_rise_bytes", "the second largest", |of| value(of.row.second_rise)),
    column("anon_bytes", "anonymous memory at `high_bytes`", |of| value(of.row.kinds.anon)),
    column("shmem_bytes", "shared memory and tmpfs then", |of| value(of.row.kinds.shmem)),
    column("kernel_bytes", "kernel memory that cannot be reclaimed then", |of| value(of.row.kinds.kernel)),
    column("active_file_bytes", "page cache used more than once, then", |of| value(of.row.kinds.active_file)),
    column("file_bytes", "page cache then", |of| value(of.row.kinds.file)),
    column("calm_cache_bytes", "least page cache without waiting for it while the limit bound", |of| {
        value(of.row.calm_cache)
    }),
    column("pressed_cache_bytes", "largest page cache with waiting", |of| value(of.row.pressed_cache)),
    column("scraped_bytes", "highest working set of every thirtieth second, as a scraper sees it", |of| {
        value(of.row.scraped)
    }),
    column("limit_bytes", "lowest limit that applied", |of| value(of.row.limit)),
    column("limit_hits", "how often it was hit, by page cache too", |of| value(of.row.hits)),
    column("starts", "starts of instances", |of| value(of.row.starts)),
    column("restarts", "those that replaced one of the same pod or unit", |of| value(of.row.restarts)),
    column("oom_kills", "OOM kills", |of| value(of.row.kills)),
    column("allocator_1", "the allocator that holds the most at `high_bytes`", |of| {
        arena(of, 0, |arena| value(&arena.allocator))
    }),
    column("allocator_1_used_bytes", "allocated in it by the program", |of| arena(of, 0, used)),
    column("allocator_1_free_bytes", "free in it, but resident", |of| arena(of, 0, free)),
    column("allocator_1_setting", "the setting that would give most of it back, where much is free", |of| {
        arena(of, 0, |arena| value(&arena.setting))
    }),
    column("allocator_2", "the second", |of| arena(of, 1, |arena| value(&arena.allocator))),
    column("allocator_2_used_bytes", "allocated in it", |of| arena(of, 1, used)),
    column("allocator_2_free_bytes", "free in it", |of| arena(of, 1, free)),
    column("allocator_3", "the third", |of| arena(of, 2, |arena| value(&arena.allocator))),
    column("allocator_3_used_bytes", "allocated in it", |of| arena(of, 2, used)),
    column("allocator_3_free_bytes", "free in it", |of| arena(of, 2, free)),
];

/// A word of a workload; an empty one is none.
fn word(word: &str) -> Value {
    value((!word.is_empty()).then_some(word))
}

fn begin(row: &Row) -> Option<Timestamp> {
    let second = u64::from(row.slot).checked_mul(SLOT)?;
    Timestamp::from_second(i64::try_from(second).ok()?).ok()
}

fn arena(of: &WorkloadRow, at: usize, get: fn(&ArenaUse) -> Value) -> Value {
    of.row.arenas.get(at).map_or(Value::Null, get)
}

fn used(arena: &ArenaUse) -> Value {
    value(arena.used)
}

fn free(arena: &ArenaUse) -> Value {
    value(arena.free)
}

#[cfg(test)]
mod tests {
    use super::{ArenaUse, COLUMNS, Row, Workload, WorkloadRow};
    use crate::{
        export::table::{Form, Rows, check_documentation},
        history::lasting::Kinds,
        units::Bytes,
    };

    #[test]
    fn the_columns_are_documented() {
        check_documentation("rows", COLUMNS);
    }

    #[test]
    fn a_row_has_its_time_and_what_is_known_of_it() {
        let arenas =
            vec![ArenaUse { allocator: "jemalloc".into(), used: Some(Bytes(7)), ..Default::default() }];
        let row = Row {
            slot: 5_900_000,
            readings: 300,
            high: Some(Bytes(4096)),
            kinds: Kinds { anon: Some(Bytes(0)), ..Kinds::default() },
            arenas,
            ..Row::default()
        };
        let workload = Workload { container: "redis.service".into(), ..Workload::default() };
        let mut out = Vec::new();
        let mut rows = Rows::begin(COLUMNS, Form::Ndjson, &mut out).unwrap();
        rows.write(&WorkloadRow { workload: workload.into(), row }).unwrap();
        let row: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(row["time"], "2026-02-02T02:40:00Z");
        assert_eq!(
            (&row["workload"], &row["namespace"]),
            (&"redis.service".into(), &serde_json::Value::Null)
        );
        assert_eq!((row["high_bytes"].as_u64(), row["anon_bytes"].as_u64()), (Some(4096), Some(0)));
        assert_eq!(row["median_bytes"], serde_json::Value::Null);
        assert_eq!(
            (&row["allocator_1"], row["allocator_1_used_bytes"].as_u64()),
            (&"jemalloc".into(), Some(7))
        );
        assert_eq!(
            (&row["allocator_1_free_bytes"], &row["allocator_2"]),
            (&serde_json::Value::Null, &serde_json::Value::Null)
        );
    }
}
