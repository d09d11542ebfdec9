//! One line a cgroup, with its largest owners of memory.

use std::fmt::Write as _;

use super::{Options, keep_end, more, or_dash, share};
use crate::{
    container::name::Name,
    snapshot::{ContainerRow, Snapshot},
};

/// Owners that are named.
const OWNERS: usize = 3;
/// Columns of the path.
const PATH: usize = 34;

pub(super) fn rows(snapshot: &Snapshot, options: Options) -> String {
    let mut out = format!(
        "{:<PATH$} {:>5} {:>11} {:>11} {:>6} {:>11}  MOST OF IT\n",
        "CONTAINER", "PROCS", "USAGE", "LIMIT", "%LIMIT", "RSS"
    );
    for container in snapshot.containers.iter().take(options.rows) {
        row(&mut out, container);
    }
    more(&mut out, snapshot.containers.len(), options.rows);
    out
}

fn row(out: &mut String, container: &ContainerRow) {
    let ContainerRow { cgroup, name, processes, usage_bytes, limit, rss_bytes, arenas, .. } = container;
    // A container's own name is at the end of both.
    let label = name.as_ref().and_then(Name::label).unwrap_or_else(|| cgroup.clone());
    let limit = limit.as_ref().map(|limit| limit.bytes);
    let owners: Vec<_> = arenas
        .iter()
        .take(OWNERS)
        .map(|arena| format!("{} {} {}", arena.allocator, arena.kind, arena.resident_bytes))
        .collect();
    let _ = writeln!(
        out,
        "{:<PATH$} {:>5} {:>11} {:>11} {:>6} {:>11}  {}",
        keep_end(&label, PATH),
        processes,
        or_dash(usage_bytes.map(|bytes| bytes.to_string())),
        or_dash(limit.map(|bytes| bytes.to_string())),
        or_dash(share(*usage_bytes, limit)),
        rss_bytes,
        owners.join(", "),
    );
}
