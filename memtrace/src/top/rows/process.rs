//! One row per process: its RSS, its largest owner, and its growth.

use super::{Column, Data, ProcessId, Row, RowId, Scope, State, Value, by_cgroup, named, place, slack};
use crate::{
    snapshot::{ContainerRow, ProcessRow, Snapshot},
    top::column::Kind,
};

/// The facts of a row.
struct ProcessFacts<'a> {
    row: &'a ProcessRow,
    snapshot: &'a Snapshot,
    container: Option<&'a ContainerRow>,
}

const H: u8 = Column::HIDDEN;

/// A function that gets the value of a column.
type Get = fn(&ProcessFacts<'_>) -> Value;

static CELLS: &[(Column, Get)] = &[
    (Column::new("pid", "PID", Kind::Number, 0, "process id"), |of| Value::Number(of.row.pid.into())),
    (Column::new("comm", "COMMAND", Kind::Words(16), 1, "its name").or(&["command", "name"]), |of| {
        Value::text(&of.row.comm)
    }),
    (
        Column::new("rss_bytes", "RSS", Kind::Bytes, 2, "resident memory with shared pages; not the heap")
            .or(&["rss", "mem", "used"]),
        |of| Value::bytes(of.row.rss_bytes),
    ),
    (
        Column::new(
            "growth_bytes_per_second",
            "GROW/s",
            Kind::Change,
            3,
            "growth per second over 10 seconds",
        )
        .or(&["growth", "grow", "rate"]),
        |of| Value::change(of.row.growth_bytes_per_second),
    ),
    (
        Column::new("limit_bytes", "LIMIT", Kind::Bytes, 6, "lowest limit that applies to it").or(&["limit"]),
        |of| Value::bytes(of.row.limit.as_ref().map(|limit| limit.bytes)),
    ),
    (
        Column::new("limit_share", "OF LIMIT", Kind::Bar, 7, "resident memory as a share of the limit")
            .or(&["share", "%", "pct"]),
        |of| Value::share_of(of.row.rss_bytes, of.row.limit.as_ref().map(|limit| limit.bytes)),
    ),
    (
        Column::new("slack_bytes", "SLACK", Kind::Bytes, 8, "free in its allocators but resident")
            .or(&["slack", "free"]),
        |of| Value::bytes(slack(of.row)),
    ),
    (
        Column::new("top_owner", "MOST OF IT", Kind::Words(26), 5, "largest owner: allocator, use, size")
            .or(&["owner"]),
        |of| {
            if let Some(totals_only) = of.row.totals_only {
                return Value::Text(totals_only.to_string());
            }
            let most = of.row.memory.as_ref().and_then(|memory| memory.arenas.first());
            most.map_or(Value::Unknown, |arena| {
                let size = super::super::format::bytes(arena.resident_bytes);
                Value::Text(format!("{} {} {size}", arena.allocator, arena.kind))
            })
        },
    ),
    (Column::new("uid", "UID", Kind::Number, 10, "real user id").or(&["user"]), |of| {
        of.row.uid.map_or(Value::Unknown, |uid| Value::Number(uid.into()))
    }),
    (Column::new("age_seconds", "AGE", Kind::Seconds, 9, "time since its start").or(&["age"]), |of| {
        Value::seconds(of.snapshot.age(of.row.started))
    }),
    (Column::new("container", "CONTAINER", Kind::Name, 4, "its container"), |of| {
        place(of.container, of.row.cgroup.as_deref())
    }),
    (Column::new("cgroup", "CGROUP", Kind::Name, H, "path of its memory cgroup"), |of| {
        Value::words(of.row.cgroup.as_deref())
    }),
    (Column::new("limit_owner", "LIMIT OF", Kind::Name, H, "cgroup that sets the limit"), |of| {
        Value::words(of.row.limit.as_ref().map(|limit| limit.owner.as_str()))
    }),
    (Column::new("started", "STARTED", Kind::Time, H, "when it started, UTC"), |of| {
        of.row.started.map_or(Value::Unknown, Value::Time)
    }),
    (Column::new("rss_grade", "GRADE", Kind::Words(8), H, "how its size is known").or(&["grade"]), |of| {
        Value::Text(of.row.rss_grade.to_string())
    }),
    (Column::new("rss_age_seconds", "READ", Kind::Seconds, H, "age of the RSS figure").or(&["read"]), |of| {
        Value::seconds(of.snapshot.age(of.row.rss_read))
    }),
    (
        Column::new("scan_age_seconds", "SCAN", Kind::Seconds, H, "time since its page tables were read")
            .or(&["scan"]),
        |of| Value::seconds(of.snapshot.age(of.row.memory.as_ref().and_then(|memory| memory.scanned))),
    ),
    (Column::new("peak_bytes", "PEAK", Kind::Bytes, H, "highest since the last tick").or(&["peak"]), |of| {
        Value::bytes(of.row.peak.as_ref().map(|peak| peak.bytes))
    }),
    (
        Column::new("unaccounted_bytes", "REST", Kind::Bytes, H, "resident but in no arena").or(&["rest"]),
        |of| Value::bytes(of.row.memory.as_ref().map(|memory| memory.unaccounted_bytes)),
    ),
    (Column::new("namespace", "NAMESPACE", Kind::Words(16), H, "Kubernetes namespace").or(&["ns"]), |of| {
        named(of.container, |name| name.namespace.as_ref())
    }),
    (Column::new("pod", "POD", Kind::Words(24), H, "its pod"), |of| {
        named(of.container, |name| name.pod.as_ref())
    }),
];

pub(super) fn all_columns() -> Vec<&'static Column> {
    super::columns(CELLS)
}

pub(super) fn rows(data: &Data, scope: &Scope) -> Vec<Row> {
    let snapshot = &*data.snapshot;
    let containers = by_cgroup(snapshot);
    scope
        .processes(snapshot)
        .into_iter()
        .map(|row| {
            let container = row.cgroup.as_deref().and_then(|cgroup| containers.get(cgroup).copied());
            Row {
                id: RowId::Process(ProcessId::of(row)),
                values: super::values(CELLS, |value| value(&ProcessFacts { row, snapshot, container })),
                state: State::Calm,
            }
        })
        .collect()
}
