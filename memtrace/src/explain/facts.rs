//! What an explanation needs beside the snapshot: threads and mounts of the processes that are meant.
//!
//! A snapshot, a subject, /proc -> [`Facts`].

use std::{fs, path::Path};

use crate::{
    allocator::AllocatorId,
    explain::Subject,
    reader::tmpfs::{self, Tmpfs},
    snapshot::Snapshot,
};

/// What a snapshot does not hold.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Processes in which an allocator's own thread gives pages back.
    pub purging: Vec<u32>,
    /// The tmpfs file systems that its processes see and that have something in them.
    pub tmpfs: Vec<Tmpfs>,
    /// Swap can be used.
    pub has_swap: bool,
}

/// Asks /proc.
pub fn gather(proc: &Path, snapshot: &Snapshot, subject: &Subject<'_>) -> Facts {
    let members = subject.members(snapshot);
    let purging = members.iter().map(|process| process.pid).filter(|pid| has_helper(proc, *pid)).collect();
    let tmpfs = members.first().and_then(|process| tmpfs::seen(proc, process.pid)).unwrap_or_default();
    let has_swap = snapshot.node.swap_free_bytes.is_some_and(|free| free.0 > 0);
    Facts { purging, tmpfs, has_swap }
}

/// Whether an allocator's own thread that gives pages back runs in a process: by its name, which it gives itself.
fn has_helper(proc: &Path, pid: u32) -> bool {
    let Ok(tasks) = fs::read_dir(proc.join(format!("{pid}/task"))) else { return false };
    let helpers: Vec<_> = AllocatorId::ALL.iter().filter_map(|id| id.allocator().advice().helper()).collect();
    let is_helper = |name: &str| helpers.iter().any(|helper| name.trim_end() == helper.thread);
    tasks
        .flatten()
        .any(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|name| is_helper(&name)))
}
