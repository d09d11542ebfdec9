//! Facts that an explanation needs besides the snapshot: threads and mounts of its processes.
//!
//! A snapshot, a subject, a reader -> [`Facts`].

use crate::{
    allocator::AllocatorId,
    explain::Subject,
    reader::{Reader, tmpfs::Tmpfs},
    snapshot::Snapshot,
};

/// Facts that a snapshot does not contain.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Processes in which a background thread of an allocator gives pages back.
    pub purging: Vec<u32>,
    /// The tmpfs mounts of its processes that are not empty.
    pub tmpfs: Vec<Tmpfs>,
    /// Whether swap is available.
    pub has_swap: bool,
}

/// Reads the facts.
pub fn gather(reader: &mut dyn Reader, snapshot: &Snapshot, subject: &Subject<'_>) -> Facts {
    let members = subject.members(snapshot);
    // A background thread of an allocator is recognised by its name.
    let helpers = AllocatorId::ALL.iter().filter_map(|id| id.allocator().advice().helper());
    let names: Vec<&str> = helpers.map(|helper| helper.thread).collect();
    let pids = members.iter().map(|process| process.pid);
    let purging = pids.filter(|pid| reader.has_thread(*pid, &names).unwrap_or_default()).collect();
    let tmpfs = members.first().and_then(|process| reader.mounts(process.pid).ok()).unwrap_or_default();
    let has_swap = snapshot.node.swap_free_bytes.is_some_and(|free| free.0 > 0);
    Facts { purging, tmpfs, has_swap }
}
