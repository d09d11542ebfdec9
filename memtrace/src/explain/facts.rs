//! What an explanation needs beside the snapshot: threads and mounts of the processes that are meant.
//!
//! A snapshot, a subject, who reads -> [`Facts`].

use crate::{
    allocator::AllocatorId,
    explain::Subject,
    reader::{Reader, tmpfs::Tmpfs},
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

/// Asks the reader.
pub fn gather(reader: &mut dyn Reader, snapshot: &Snapshot, subject: &Subject<'_>) -> Facts {
    let members = subject.members(snapshot);
    // An allocator's own thread that gives pages back: it gives itself its name.
    let helpers = AllocatorId::ALL.iter().filter_map(|id| id.allocator().advice().helper());
    let names: Vec<&str> = helpers.map(|helper| helper.thread).collect();
    let pids = members.iter().map(|process| process.pid);
    let purging = pids.filter(|pid| reader.has_thread(*pid, &names).unwrap_or_default()).collect();
    let tmpfs = members.first().and_then(|process| reader.mounts(process.pid).ok()).unwrap_or_default();
    let has_swap = snapshot.node.swap_free_bytes.is_some_and(|free| free.0 > 0);
    Facts { purging, tmpfs, has_swap }
}
