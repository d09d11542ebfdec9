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

/// Checks that the reader finishes within the budget of the image and reports no more memory than there is. Every range
/// below the stack is in turn a heap, data of a program that contains all allocators, and plain memory that the reader's allocator
/// owns.
///
/// # Errors
/// When the reader is not certain.
///
/// # Panics
/// When a check fails.
pub fn holds(reader: &dyn CounterReader, mut memory: Fake, files: &FakeFiles) -> Result<Counters, Absent> {
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
        owned.push(Owned {
            start,
            end,
            region: index,
            owner: Owner::inferred(reader.name(), "memory", start),
        });
        found.push(Found { start, end, content: Content::GlibcHeap { arena: start + 48 } });
    }
    let marks = Mark::ALL.iter().fold(Marks::default(), |marks, (mark, _)| marks.with(*mark));
    let module = Module { file, code: images.clone(), images, marks, is_read: true, names: None };
    let process = ProcessEvidence::new(vec![module]).with_found(found);
    assert!(reader.applies(&process) || reader.name() == "musl", "it does not apply");
    let mut target =
        Target { image: &mut memory, files, process: &process, regions: &regions, owned: &owned };
    let read = reader.read(&mut target).and_then(|counters| plausibility::check(&mut target, counters));
    if let Ok(counters) = &read {
        let there: u64 = owned.iter().map(Owned::len).sum();
        assert!(
            counters.free_resident_bytes.is_none_or(|free| free.0 <= there * 2),
            "more is free than there is"
        );
        assert!(counters.allocator == reader.name(), "it answers for another");
        assert!(counters.arenas.len() <= MOST_ARENAS, "too many arenas");
    }
    read
}
