//! What an explanation needs beside the snapshot: threads and mounts of the processes that are meant.
//!
//! A snapshot, a subject, /proc -> [`Facts`].

use std::{fs, path::Path};

use crate::{
    explain::{self, Facts, Subject},
    reader::tmpfs,
    snapshot::Snapshot,
};

/// What the snapshot does not hold.
pub fn gather(proc: &Path, snapshot: &Snapshot, subject: &Subject<'_>) -> Facts {
    let members = explain::explain(snapshot, None, &Facts::default(), subject).processes;
    let purging = members.iter().map(|process| process.pid).filter(|pid| has_purger(proc, *pid)).collect();
    let seen = |process: &explain::Member| tmpfs::seen(proc, process.pid);
    let tmpfs = members.first().and_then(seen).unwrap_or_default();
    let has_swap = snapshot.node.swap_free_bytes.is_some_and(|free| free.0 > 0);
    Facts { purging, tmpfs, has_swap }
}

/// Whether jemalloc's background thread runs in a process: by its name, which it gives itself.
fn has_purger(proc: &Path, pid: u32) -> bool {
    let Ok(tasks) = fs::read_dir(proc.join(format!("{pid}/task"))) else { return false };
    tasks
        .flatten()
        .any(|task| fs::read(task.path().join("comm")).is_ok_and(|name| name == b"jemalloc_bg_thd\n"))
}
