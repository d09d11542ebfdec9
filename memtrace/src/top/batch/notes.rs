//! Lines below the table of arenas, about processes as a whole.
//!
//! The shown rows -> lines about their processes: counters, the remainder of the sum, growth stacks.

use std::{collections::BTreeSet, fmt::Write as _, sync::Arc};

use crate::{
    allocator::counters::Counters,
    snapshot::{GrowthStack, Memory, ProcessRow},
    text::{escape, printable},
    top::rows::{Data, ProcessId, RowId, Table, frame},
};

/// The most frames of a growth stack on one line.
const FRAMES: usize = 4;

/// Lines about the processes whose arenas are shown.
pub(super) fn notes(data: &Data, table: &Table) -> String {
    let shown: BTreeSet<ProcessId> = table
        .rows
        .iter()
        .filter_map(|row| match &row.id {
            RowId::Arena(id, ..) => Some(*id),
            RowId::Pod(_)
            | RowId::Container(_)
            | RowId::Process(_)
            | RowId::Stack(..)
            | RowId::Kill(_)
            | RowId::Probe(_) => None,
        })
        .collect();
    let mut out = String::new();
    for process in &data.snapshot.processes {
        if let Some(memory) = process.memory.as_ref().filter(|_| shown.contains(&ProcessId::of(process))) {
            rest(&mut out, process, memory, data.snapshot.age(memory.counters_read));
        }
    }
    for process in &data.snapshot.processes {
        if let Some(totals_only) = process.totals_only {
            let _ = writeln!(out, "{:>8} {:<16} {totals_only}", process.pid, printable(&process.comm));
        }
    }
    let is_unread = |process: &&Arc<ProcessRow>| process.memory.is_none() && process.totals_only.is_none();
    let unread = data.snapshot.processes.iter().filter(is_unread).count();
    if unread > 0 {
        let _ =
            writeln!(out, "page tables of {unread} processes were not read (small, or not their turn yet)");
    }
    if out.is_empty() { out } else { format!("\n{out}") }
}

/// Lines about a process that are not in its rows.
fn rest(out: &mut String, process: &ProcessRow, memory: &Memory, counters_age: Option<f64>) {
    let Memory {
        arenas: _,
        unaccounted_bytes,
        excess_bytes,
        stale,
        unfinished,
        growth_stacks,
        counters,
        without_counters,
        ..
    } = memory;
    let mut line = |text: String| {
        let _ = writeln!(out, "{:>8} {:<16} {text}", process.pid, printable(&process.comm));
    };
    for counters in counters {
        line(counted(counters, counters_age));
    }
    for absent in without_counters {
        line(format!("counters of {} are unknown: {}", absent.allocator, escape(absent.reason.as_bytes())));
    }
    if unaccounted_bytes.0 > 0 {
        line(format!("{unaccounted_bytes} resident but in no row yet"));
    }
    if excess_bytes.0 > 0 {
        line(format!("{excess_bytes} in a row but no longer resident"));
    }
    if let Some(reason) = stale {
        line(format!("out of date: {reason}"));
    }
    if let Some(reason) = unfinished {
        line(format!("owners may be incomplete: {reason}"));
    }
    if let Some(GrowthStack { bytes: [_, minute, _], frames, .. }) = growth_stacks.first()
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
