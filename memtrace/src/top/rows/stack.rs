//! One row per call stack that first touched new memory.

use super::{Column, Data, ProcessId, Row, RowId, Scope, State, Value};
use crate::{
    snapshot::{GrowthStack, ProcessRow, UserFrame},
    top::column::Kind,
    units::Bytes,
};

/// The facts of a row.
struct StackFacts<'a> {
    row: &'a GrowthStack,
    process: &'a ProcessRow,
}

/// A function that gets the value of a column.
type Get = fn(&StackFacts<'_>) -> Value;

static CELLS: &[(Column, Get)] = &[
    (
        Column::new("growth_10s_bytes", "10s", Kind::Bytes, 2, "new memory over ten seconds, sampled")
            .or(&["10s"]),
        |of| grown(of.row, 0),
    ),
    (Column::new("growth_1m_bytes", "1m", Kind::Bytes, 0, "over a minute").or(&["1m", "growth"]), |of| {
        grown(of.row, 1)
    }),
    (Column::new("growth_10m_bytes", "10m", Kind::Bytes, 1, "over ten minutes").or(&["10m"]), |of| {
        grown(of.row, 2)
    }),
    (Column::new("pid", "PID", Kind::Number, Column::HIDDEN, "process id"), |of| {
        Value::Number(of.process.pid.into())
    }),
    (
        Column::new("comm", "COMMAND", Kind::Words(16), Column::HIDDEN, "name of the process")
            .or(&["command"]),
        |of| Value::text(&of.process.comm),
    ),
    (
        Column::new("stack", "TOUCHED BY", Kind::Sentence, 0, "functions, innermost first").or(&["frames"]),
        |of| Value::Text(of.row.frames.iter().map(frame).collect::<Vec<_>>().join(" < ")),
    ),
];

fn grown(row: &GrowthStack, window: usize) -> Value {
    Value::bytes(row.bytes.get(window).copied().filter(|Bytes(bytes)| *bytes > 0))
}

/// The function, else module and offset, else the address.
pub fn frame(frame: &UserFrame) -> String {
    match frame {
        UserFrame { symbol: Some(symbol), .. } => symbol.clone(),
        UserFrame { module: Some(module), file_offset: Some(offset), .. } => {
            format!("{}+{offset:#x}", module.rsplit('/').next().unwrap_or(module))
        }
        UserFrame { module: Some(module), .. } => module.clone(),
        UserFrame { address, .. } => address.clone(),
    }
}

/// The call stacks of a process, with symbol names if they have arrived.
pub fn stacks<'a>(data: &'a Data, process: &'a ProcessRow) -> &'a [GrowthStack] {
    let named = data.named.as_deref().filter(|named| ProcessId::of(process).is(named));
    let memory = named.unwrap_or(process).memory.as_ref().or(process.memory.as_ref());
    memory.map_or(&[], |memory| &memory.growth_stacks)
}

/// The identity of a stack across refreshes.
pub fn id(process: ProcessId, stack: &GrowthStack) -> RowId {
    RowId::Stack(process, stack.frames.iter().map(|frame| frame.address.clone()).collect())
}

pub(super) fn all_columns() -> Vec<&'static Column> {
    super::columns(CELLS)
}

pub(super) fn rows(data: &Data, scope: &Scope) -> Vec<Row> {
    let of_process = |process| {
        let made = stacks(data, process).iter().map(|row| Row {
            id: id(ProcessId::of(process), row),
            values: super::values(CELLS, |value| value(&StackFacts { row, process })),
            state: State::Calm,
        });
        made.collect::<Vec<_>>()
    };
    scope.processes(&data.snapshot).into_iter().flat_map(of_process).collect()
}
