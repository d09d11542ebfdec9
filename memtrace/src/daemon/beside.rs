//! What an explanation needs beside the snapshot: threads and mounts of the processes that are meant.
//!
//! A snapshot, a subject, /proc -> [`Facts`].

use std::{fs, path::PathBuf};

use crate::{
    report::explain::{self, Facts, Mount, Subject},
    snapshot::Snapshot,
    units::{Bytes, escape},
};

/// Mounts that are looked at.
const MOST_MOUNTS: usize = 256;

/// What the snapshot does not hold.
pub fn beside(snapshot: &Snapshot, subject: &Subject<'_>) -> Facts {
    let members = explain::explain(snapshot, None, &Facts::default(), subject).processes;
    let purging = members.iter().map(|process| process.pid).filter(|pid| has_purger(*pid)).collect();
    let tmpfs = members.first().map(|process| tmpfs(process.pid)).unwrap_or_default();
    let has_swap = snapshot.node.swap_free_bytes.is_some_and(|free| free.0 > 0);
    Facts { purging, tmpfs, has_swap }
}

/// Whether jemalloc's background thread runs in a process: by its name, which it gives itself.
fn has_purger(pid: u32) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    tasks
        .flatten()
        .any(|task| fs::read(task.path().join("comm")).is_ok_and(|name| name == b"jemalloc_bg_thd\n"))
}

/// The tmpfs file systems that a process sees and that hold something.
fn tmpfs(pid: u32) -> Vec<Mount> {
    let Ok(mounts) = fs::read_to_string(format!("/proc/{pid}/mountinfo")) else { return Vec::new() };
    let mut seen = Vec::new();
    let mut found = Vec::new();
    for line in mounts.lines().take(MOST_MOUNTS) {
        // 24 1 0:22 / /dev/shm rw,nosuid master:3 - tmpfs tmpfs rw
        let fields: Vec<&str> = line.split(' ').collect();
        let kind = fields.iter().position(|field| *field == "-").and_then(|at| fields.get(at + 1));
        let (Some(&"tmpfs"), Some(device), Some(path)) = (kind, fields.get(2), fields.get(4)) else {
            continue;
        };
        if seen.contains(device) {
            continue;
        }
        seen.push(*device);
        let place = PathBuf::from(format!("/proc/{pid}/root")).join(path.trim_start_matches('/'));
        let Ok(stat) = rustix::fs::statvfs(&place) else { continue };
        let used = stat.f_blocks.saturating_sub(stat.f_bfree).saturating_mul(stat.f_frsize);
        if used > 0 {
            found.push(Mount { path: escape(path.as_bytes()), bytes: Bytes(used) });
        }
    }
    found
}
