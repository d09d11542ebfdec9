//! One line for each allocator's use in a process, the processes with the most memory first.

use std::fmt::Write as _;

use super::{Options, keep_start, more, or_dash, signed};
use crate::{
    allocator::counters::Counters,
    snapshot::{ArenaRow, GrowthStack, Memory, ProcessRow, Snapshot, UserFrame},
    units::escape,
};

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
    let Memory {
        arenas: _,
        unaccounted_bytes,
        excess_bytes,
        stale,
        growth_stacks,
        counters,
        without_counters,
        counters_age_seconds,
        ..
    } = memory;
    let mut line = |text: String| {
        let _ = writeln!(out, "{:>8} {:<16} {text}", process.pid, "");
    };
    for counters in counters {
        line(counted(counters, *counters_age_seconds));
    }
    for absent in without_counters {
        line(format!(
            "{}'s own counters are not known: {}",
            absent.allocator,
            escape(absent.reason.as_bytes())
        ));
    }
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

/// `glibc 2.35-2.42: 40.0 MiB allocated, 43.8 MiB free but resident (read, 3 s ago)`
fn counted(counters: &Counters, age: Option<f64>) -> String {
    let Counters { allocator, version, error_bytes, grade, .. } = counters;
    let figures = [
        (counters.allocated_bytes, "allocated"),
        (counters.free_resident_bytes, "free but resident"),
        (counters.lazily_freed_bytes.filter(|bytes| bytes.0 > 0), "freed lazily"),
        (counters.retained_bytes, "mapped only"),
    ];
    let figures: Vec<_> =
        figures.iter().filter_map(|(bytes, what)| Some(format!("{} {what}", (*bytes)?))).collect();
    let version =
        version.as_ref().map_or(String::new(), |version| format!(" {}", escape(version.as_bytes())));
    let error = error_bytes.filter(|error| error.0 > 0).map_or(String::new(), |error| format!(", ±{error}"));
    let age = age.map_or(String::new(), |age| format!(", {age:.0} s ago"));
    format!("{allocator}{version}: {}{error} ({grade}{age})", figures.join(", "))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Bytes;

    #[test]
    fn counters_are_one_line() {
        let counters = Counters {
            allocator: "glibc".into(),
            version: Some("2.36".into()),
            allocated_bytes: Some(Bytes(40 << 20)),
            free_resident_bytes: Some(Bytes(3 << 19)),
            lazily_freed_bytes: Some(Bytes(0)),
            error_bytes: Some(Bytes(1024)),
            ..Counters::default()
        };
        let text = "glibc 2.36: 40.0 MiB allocated, 1.5 MiB free but resident, ±1.0 KiB (read, 3 s ago)";
        assert_eq!(counted(&counters, Some(3.2)), text);
    }
}
