//! The lines above the rows: time, the tracer's status, losses.

use std::fmt::Write as _;

use jiff::tz::TimeZone;

use crate::snapshot::{Scans, Snapshot, Tracer};

/// The header.
pub(super) fn header(snapshot: &Snapshot) -> String {
    let time = snapshot.time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S UTC");
    let mut out = format!("memtrace {time}   {} processes", snapshot.processes.len());
    match &snapshot.tracer {
        None => out.push_str("   no daemon: read from /proc alone, without probes\n"),
        Some(tracer) => {
            out.push('\n');
            out.push_str(&tracer_lines(tracer));
        }
    }
    out
}

fn tracer_lines(tracer: &Tracer) -> String {
    let Tracer {
        started: _,
        events,
        wakeups: _,
        fault_period: _,
        fault_period_now: _,
        hooks_attached,
        hooks_total,
        kills,
        bare_marks: _,
        kills_not_stored,
        store,
        losses,
        scans,
        walks: _,
        memory,
    } = tracer;
    let sampling = tracer
        .sampling()
        .map_or("faults not sampled".to_owned(), |sampling| format!("faults sampled {sampling}"));
    let mut out = format!(
        "hooks {hooks_attached}/{hooks_total}   {events} events   {sampling}   {kills} OOM kills recorded\n"
    );
    let Scans {
        followed,
        followed_bytes: _,
        done,
        seconds,
        by_pages,
        by_pages_seconds: _,
        share_percent,
        cpu,
    } = scans;
    let _ = writeln!(
        out,
        "page tables: {done} reads, {by_pages} of them without mappings, {seconds:.2} s (budget {share_percent}% of a CPU)   {followed} processes followed"
    );
    let _ = writeln!(out, "{}", cpu.describe());
    if memory.budget_bytes.0 > 0 {
        let _ = writeln!(out, "{}", memory.describe());
    }
    if *kills_not_stored > 0 {
        let _ = writeln!(
            out,
            "NOT STORED: {kills_not_stored} OOM kills are not on disk yet (see the daemon's log)"
        );
    }
    for line in store.describe() {
        let _ = writeln!(out, "{line}");
    }
    if losses.is_empty() {
        out.push_str("losses: none\n");
    }
    for loss in losses {
        let _ = writeln!(out, "LOST: {} {} ({})", loss.count, loss.meaning, loss.name);
    }
    out
}
