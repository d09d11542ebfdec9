//! Facts that an explanation needs besides the snapshot: threads and mounts of its processes.
//!
//! A snapshot, a subject, a reader -> [`Facts`].

use std::collections::BTreeMap;

use crate::{
    allocator::AllocatorId,
    explain::{Explanation, Grown, Subject},
    reader::{NotRead, Reader, stacks, tmpfs::Tmpfs},
    snapshot::{ProcessRow, Snapshot},
    units::Bytes,
};

/// The most processes whose threads are looked at, the largest first: each is a question to a reader.
const MOST_LOOKS: usize = 256;

/// Facts that a snapshot does not contain.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Processes in which a background thread of an allocator gives pages back.
    pub purging: Vec<u32>,
    /// Processes of which this is not known.
    pub not_looked: Vec<u32>,
    /// The tmpfs mounts of its processes that are not empty.
    pub tmpfs: Vec<Tmpfs>,
    /// Why the mounts or the threads of a live process could not be read.
    pub not_read: Option<NotRead>,
    /// Whether swap is available.
    pub has_swap: bool,
    /// The memory in anonymous huge pages of its largest processes, by pid.
    pub huge: BTreeMap<u32, Bytes>,
}

/// The most processes whose huge pages are read, the largest first, and the size from which they matter.
const MOST_HUGE: usize = 16;
const LARGE: Bytes = Bytes(16 << 20);

/// Reads the facts.
pub fn gather(reader: &mut dyn Reader, snapshot: &Snapshot, subject: &Subject<'_>) -> Facts {
    let members = subject.members(snapshot);
    // A background thread of an allocator is recognised by its name.
    let helpers = AllocatorId::ALL.iter().filter_map(|id| id.allocator().advice().helper());
    let names: Vec<&str> = helpers.map(|helper| helper.thread).collect();
    let (mut purging, mut not_looked, mut not_read) = (Vec::new(), Vec::new(), None);
    for (index, process) in members.iter().filter(|process| may_have_helper(process)).enumerate() {
        let look = (index < MOST_LOOKS).then(|| reader.has_thread(process.pid, &names));
        match look.and_then(|look| known(look, &mut not_read)) {
            Some(true) => purging.push(process.pid),
            Some(false) => {}
            None => not_looked.push(process.pid),
        }
    }
    let mounts = members.first().map(|process| reader.mounts(process.pid));
    let tmpfs = mounts.and_then(|mounts| known(mounts, &mut not_read)).unwrap_or_default();
    let has_swap = snapshot.node.swap_free_bytes.is_some_and(|free| free.0 > 0);
    let large = members.iter().filter(|process| process.rss_bytes >= Some(LARGE)).take(MOST_HUGE);
    let huge = large
        .filter_map(|process| Some((process.pid, known(reader.huge_pages(process.pid), &mut not_read)?)));
    let huge = huge.collect();
    Facts { purging, not_looked, tmpfs, not_read, has_swap, huge }
}

/// Whether an allocator that can have a background thread was found in a process.
fn may_have_helper(process: &ProcessRow) -> bool {
    let mut counters = process.memory.iter().flat_map(|memory| &memory.counters);
    counters.any(|counters| {
        let id = AllocatorId::named(&counters.allocator);
        id.is_some_and(|id| id.allocator().advice().helper().is_some())
    })
}

/// Looks up the functions in an explanation's call stacks.
pub fn name_stacks(reader: &mut dyn Reader, explanation: &mut Explanation) {
    for Grown { pid, stack, .. } in explanation.growth.iter_mut().flat_map(|growth| &mut growth.stacks) {
        stacks::name(*pid, std::slice::from_mut(stack), |places| reader.names(places));
    }
}

/// The answer, if there is one; else the reason is kept. A process that has ended has nothing to explain.
fn known<T>(answer: Result<T, NotRead>, not_read: &mut Option<NotRead>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(NotRead::Gone) => None,
        Err(why) => {
            not_read.get_or_insert(why);
            None
        }
    }
}
