//! The test that every reader must pass: any memory, in any layout, that changes while it is read.
//!
//! Input: a reader and memory. Output: the reader's result, or a panic of the test.

use super::{Absent, CounterReader, Counters, Target, plausibility};
use crate::{
    allocator::{
        Owned, Owner,
        evidence::{Content, Found, Mark, Marks, Module, ProcessEvidence},
        image::fake::{Fake, FakeFiles},
    },
    mm::region::{Backing, File, Prot, Region},
};

/// Ranges from here on are stacks: near the end of the address space.
const TOP: u64 = (1 << 47) - (1 << 18);
/// The most arenas in a result.
const MOST_ARENAS: usize = 1 << 16;

/// Checks that the reader finishes within the budget of the image and reports no more memory than there is. The memory is
/// that of [`with_target`].
///
/// # Errors
/// When the reader is not certain.
///
/// # Panics
/// When a check fails.
pub fn holds(reader: &dyn CounterReader, memory: Fake, files: &FakeFiles) -> Result<Counters, Absent> {
    with_target(reader.name(), memory, files, |target| {
        assert!(reader.applies(target.process) || reader.name() == "musl", "it does not apply");
        let read = reader.read(target).and_then(|counters| plausibility::check(target, counters));
        if let Ok(counters) = &read {
            let there: u64 = target.owned.iter().map(Owned::len).sum();
            assert!(
                counters.free_resident_bytes.is_none_or(|free| free.0 <= there * 2),
                "more is free than there is"
            );
            assert!(counters.allocator == reader.name(), "it answers for another");
            assert!(counters.arenas.len() <= MOST_ARENAS, "too many arenas");
        }
        read
    })
}

/// A process with this memory: every range below the stack is in turn a heap, data of a program that contains all
/// allocators, and plain memory; all of it belongs to this allocator.
pub fn with_target<T>(
    name: &'static str,
    mut memory: Fake,
    files: &FakeFiles,
    read: impl FnOnce(&mut Target<'_>) -> T,
) -> T {
    let file = std::sync::Arc::new(File { device: 1, inode: 1, path: b"/tmp/hsperfdata_user/1".to_vec() });
    let ranges = memory.ranges();
    let writable = Prot(Prot::READ | Prot::WRITE);
    let mut images = Vec::new();
    let mut regions = Vec::new();
    let mut owned = Vec::new();
    let mut found = Vec::new();
    for (index, (start, end)) in ranges.into_iter().enumerate() {
        let backing = match index % 3 {
            _ if start >= TOP => Backing::Stack,
            0 => Backing::File(std::sync::Arc::clone(&file)),
            1 => Backing::Heap,
            _ => Backing::Anonymous,
        };
        if index % 3 == 0 && start < TOP {
            images.push(start..end);
        }
        regions.push(Region::new(start, end, writable, backing));
        owned.push(Owned { start, end, region: index, owner: Owner::inferred(name, "memory", start) });
        found.push(Found { start, end, content: Content::GlibcHeap { arena: start + 48 } });
    }
    let marks = Mark::ALL.iter().fold(Marks::default(), |marks, (mark, _)| marks.with(*mark));
    let module = Module { file, code: images.clone(), images, marks, is_read: true, names: None };
    let process = ProcessEvidence::new(vec![module]).with_found(found);
    read(&mut Target { image: &mut memory, files, process: &process, regions: &regions, owned: &owned })
}
