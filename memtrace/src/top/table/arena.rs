//! One line for each allocator's use in a process, the processes with the most memory first.

use std::fmt::Write as _;

use super::{Options, keep_start, more, or_dash, signed};
use crate::snapshot::{ArenaRow, GrowthStack, Memory, ProcessRow, Snapshot, UserFrame};

/// Frames of a growth stack that fit one line.
const FRAMES: usize = 4;

pub(super) fn rows(snapshot: &Snapshot, options: Options) -> String {
    let mut out = format!(
        "{:>8} {:<16} {:<13} {:<18} {:>6} {:>11} {:>11} {:>11} {:>11}  {}\n",
        "PID",
        "COMMAND",
        "OWNER",
        "USE",
        "ARENAS",
        "RESIDENT",
        "LAZY FREE",
        "GROWTH/10s",
        "GROWTH/1m",
        "GRADE"
    );
    let known: Vec<_> =
        snapshot.processes.iter().filter_map(|row| Some((row, row.memory.as_ref()?))).collect();
    let all: usize = known.iter().map(|(_, memory)| memory.arenas.len()).sum();
    let mut left = options.rows;
    for (process, memory) in known {
        let shown = left.min(memory.arenas.len());
        for arena in memory.arenas.iter().take(shown) {
            row(&mut out, process, arena);
        }
        left -= shown;
        if left == 0 {
            break;
        }
        rest(&mut out, process, memory);
    }
    more(&mut out, all, options.rows);
    let unread = snapshot.processes.iter().filter(|process| process.memory.is_none()).count();
    if unread > 0 {
        let _ = writeln!(
            out,
            "{:>8} {unread} processes whose page tables were not read (small, or not their turn yet)",
            ""
        );
    }
    out
}

fn row(out: &mut String, process: &ProcessRow, arena: &ArenaRow) {
    let [short, minute, _] = arena.growth_bytes;
    let change = |bytes: Option<i64>| or_dash(bytes.map(|bytes| signed(bytes as f64)));
    let _ = writeln!(
        out,
        "{:>8} {:<16} {:<13} {:<18} {:>6} {:>11} {:>11} {:>11} {:>11}  {}",
        process.pid,
        keep_start(&process.comm, 16),
        keep_start(&arena.allocator, 13),
        keep_start(&arena.kind, 18),
        arena.arenas,
        arena.resident_bytes,
        arena.lazy_free_bytes,
        change(short),
        change(minute),
        arena.grade,
    );
}

/// What belongs to a process and to none of its rows.
fn rest(out: &mut String, process: &ProcessRow, memory: &Memory) {
    let Memory { arenas: _, unaccounted_bytes, excess_bytes, stale, growth_stacks, .. } = memory;
    let mut line = |text: String| {
        let _ = writeln!(out, "{:>8} {:<16} {text}", process.pid, "");
    };
    if unaccounted_bytes.0 > 0 {
        line(format!("{unaccounted_bytes} resident and in no row yet"));
    }
    if excess_bytes.0 > 0 {
        line(format!("{excess_bytes} in a row and not resident any more"));
    }
    if let Some(reason) = stale {
        line(format!("to be read again: {reason}"));
    }
    if let Some(GrowthStack { bytes: [_, minute, _], frames }) = growth_stacks.first()
        && minute.0 > 0
    {
        line(format!(
            "+{minute}/1m touched by {}",
            frames.iter().take(FRAMES).map(frame).collect::<Vec<_>>().join(" < ")
        ));
    }
}

/// The function, else the module and the offset in it, else the address.
fn frame(frame: &UserFrame) -> String {
    match frame {
        UserFrame { symbol: Some(symbol), .. } => symbol.clone(),
        UserFrame { module: Some(module), file_offset: Some(offset), .. } => {
            format!("{}+{offset:#x}", module.rsplit('/').next().unwrap_or(module))
        }
        UserFrame { module: Some(module), .. } => module.clone(),
        UserFrame { address, .. } => address.clone(),
    }
}
