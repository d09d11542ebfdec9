//! One line a process.

use std::fmt::Write as _;

use super::{Options, keep_end, keep_start, more, or_dash, share, signed};
use crate::snapshot::{ProcessRow, Snapshot};

/// Columns before the cgroup.
const FIXED: usize = 72;

pub(super) fn rows(snapshot: &Snapshot, options: Options) -> String {
    let room = options.width.saturating_sub(FIXED).max(12);
    let mut out = format!(
        "{:>8} {:<16} {:>11} {:>13} {:>11} {:>6}  CGROUP\n",
        "PID", "COMMAND", "RSS", "GROWTH/s", "LIMIT", "%LIMIT"
    );
    for process in snapshot.processes.iter().take(options.rows) {
        row(&mut out, process, room);
    }
    more(&mut out, snapshot.processes.len(), options.rows);
    out
}

fn row(out: &mut String, process: &ProcessRow, room: usize) {
    let limit = process.limit.as_ref().map(|limit| limit.bytes);
    let _ = writeln!(
        out,
        "{:>8} {:<16} {:>11} {:>13} {:>11} {:>6}  {}",
        process.pid,
        keep_start(&process.comm, 16),
        or_dash(process.rss_bytes.map(|bytes| bytes.to_string())),
        or_dash(process.growth_bytes_per_second.map(signed)),
        // A dash is "no limit, or not known"; the JSON tells which.
        or_dash(limit.map(|bytes| bytes.to_string())),
        or_dash(share(process.rss_bytes, limit)),
        keep_end(process.cgroup.as_deref().unwrap_or("?"), room),
    );
}
