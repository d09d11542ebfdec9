//! One row per allocator and use in a process.

use super::{Column, Data, ProcessId, Row, RowId, Scope, State, Value, by_cgroup, named, place};
use crate::{
    snapshot::{ArenaRow, ContainerRow, ProcessRow},
    top::column::Kind,
};

/// The facts of a row.
struct ArenaFacts<'a> {
    row: &'a ArenaRow,
    process: &'a ProcessRow,
    container: Option<&'a ContainerRow>,
}

const H: u8 = Column::HIDDEN;

/// A function that gets the value of a column.
type Get = fn(&ArenaFacts<'_>) -> Value;

static CELLS: &[(Column, Get)] = &[
    (Column::new("pid", "PID", Kind::Number, 1, "process id"), |of| Value::Number(of.process.pid.into())),
    (
        Column::new("comm", "COMMAND", Kind::Words(16), 3, "name of the process").or(&["command", "name"]),
        |of| Value::text(&of.process.comm),
    ),
    (
        Column::new(
            "allocator",
            "OWNER",
            Kind::Words(13),
            0,
            "allocator, or another owner: module, file, stack",
        )
        .or(&["owner"]),
        |of| Value::text(of.row.allocator.as_ref()),
    ),
    (Column::new("kind", "USE", Kind::Words(18), 0, "what for").or(&["use"]), |of| {
        Value::text(of.row.kind.as_ref())
    }),
    (
        Column::new("resident_bytes", "RESIDENT", Kind::Bytes, 2, "resident")
            .or(&["resident", "mem", "used", "rss"]),
        |of| Value::Bytes(of.row.resident_bytes),
    ),
    (
        Column::new("process_share", "OF RSS", Kind::Bar, 6, "share of the resident memory of the process")
            .or(&["share", "%", "pct"]),
        |of| Value::share_of(Some(of.row.resident_bytes), of.process.rss_bytes),
    ),
    (
        Column::new("growth_10s_bytes", "GROW/10s", Kind::Change, 4, "change over ten seconds")
            .or(&["10s", "growth"]),
        |of| growth(of.row, 0),
    ),
    (Column::new("growth_1m_bytes", "GROW/1m", Kind::Change, 5, "change over a minute").or(&["1m"]), |of| {
        growth(of.row, 1)
    }),
    (
        Column::new("growth_10m_bytes", "GROW/10m", Kind::Change, 9, "change over ten minutes").or(&["10m"]),
        |of| growth(of.row, 2),
    ),
    (
        Column::new(
            "lazy_free_bytes",
            "LAZYFREE",
            Kind::Bytes,
            7,
            "freed with MADV_FREE: resident until the kernel reclaims it",
        )
        .or(&["lazy"]),
        |of| Value::Bytes(of.row.lazy_free_bytes),
    ),
    (Column::new("swapped_bytes", "SWAP", Kind::Bytes, 12, "swapped out").or(&["swap"]), |of| {
        Value::Bytes(of.row.swapped_bytes)
    }),
    (
        Column::new("mapped_bytes", "MAPPED", Kind::Bytes, 10, "mapped, resident or not").or(&["mapped"]),
        |of| Value::Bytes(of.row.mapped_bytes),
    ),
    (Column::new("arenas", "ARENAS", Kind::Count, 8, "number of arenas"), |of| {
        Value::Count(of.row.arenas as u64)
    }),
    (
        Column::new(
            "grade",
            "GRADE",
            Kind::Words(8),
            11,
            "how the figure is known: read, measured, sampled, inferred",
        ),
        |of| Value::Text(of.row.grade.to_string()),
    ),
    (Column::new("container", "CONTAINER", Kind::Name, 13, "container of the process"), |of| {
        place(of.container, of.process.cgroup.as_deref())
    }),
    (Column::new("pss_bytes", "PSS", Kind::Bytes, H, "resident, shared pages divided").or(&["pss"]), |of| {
        Value::bytes(of.row.pss_bytes)
    }),
    (Column::new("namespace", "NAMESPACE", Kind::Words(16), H, "Kubernetes namespace").or(&["ns"]), |of| {
        named(of.container, |name| name.namespace.as_ref())
    }),
    (Column::new("pod", "POD", Kind::Words(24), H, "its pod"), |of| {
        named(of.container, |name| name.pod.as_ref())
    }),
];

fn growth(row: &ArenaRow, window: usize) -> Value {
    Value::change(row.growth_bytes.get(window).copied().flatten().map(|by| by as f64))
}

pub(super) fn all_columns() -> Vec<&'static Column> {
    super::columns(CELLS)
}

pub(super) fn rows(data: &Data, scope: &Scope) -> Vec<Row> {
    let containers = by_cgroup(&data.snapshot);
    let of_process = |process: &ProcessRow| -> Vec<Row> {
        let container = process.cgroup.as_deref().and_then(|cgroup| containers.get(cgroup).copied());
        let id = ProcessId::of(process);
        let arenas = process.memory.iter().flat_map(|memory| &memory.arenas);
        arenas
            .map(|row| Row {
                id: RowId::Arena(id, row.allocator.to_string(), row.kind.to_string()),
                values: super::values(CELLS, |value| value(&ArenaFacts { row, process, container })),
                state: State::Calm,
            })
            .collect()
    };
    scope.processes(&data.snapshot).into_iter().flat_map(of_process).collect()
}
