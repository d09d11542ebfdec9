//! Fuzz targets: each takes any bytes, must not panic, and checks its invariants.
//!
//! Called by `fuzz/fuzz_targets`, by `tests/hostile`, and here by the tests on the corpora that are checked in. Not for
//! use elsewhere.

#![doc(hidden)]

mod image;
mod outside;
mod stack;

use std::sync::Arc;

pub use self::outside::{elf, kernel_log, names, proc};

use gimli::UnwindContext;
use memtrace_common::event::stack::MOST_BYTES;

use crate::{
    allocator::{
        AllocatorId,
        counters::{conformance, readers},
        objects,
    },
    ingest::{self, decode},
    mm::{
        address_space::{AddressSpace, Geometry},
        maps,
        residency::Measured,
        smaps,
    },
    model::{Model, journal::Journal, replay},
    reader::messages::{self, Taken},
    unwind::{
        Stack,
        tables::{self, Tables},
        walk::{Code, MOST_FRAMES, walk},
    },
};

/// Records of a ring buffer, each preceded by its length (two bytes): decoded, and applied to a space.
pub fn ring_record(bytes: &[u8]) {
    let mut space = AddressSpace::new(Geometry::default());
    let mut rest = bytes;
    while let Some((length, tail)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(tail.len());
        let (record, tail) = tail.split_at(length);
        rest = tail;
        if let Ok(event) = decode::decode(record) {
            assert!(event.bytes() == record, "an event is not the record that it was");
            space.apply(&event);
            check(&space);
        }
    }
    let _ = decode::decode(bytes);
}

/// A maps file, parsed and made into a space.
pub fn maps(bytes: &[u8]) {
    let maps = maps::parse(bytes);
    let mut space = AddressSpace::new(Geometry::default());
    space.resync(&maps.regions);
    check(&space);
}

/// An smaps file, parsed and applied to a space.
pub fn smaps(bytes: &[u8]) {
    let smaps = smaps::parse(bytes);
    let mut space = AddressSpace::new(Geometry::default());
    let regions: Vec<_> = smaps.mappings.iter().map(|mapping| mapping.region.clone()).collect();
    space.resync(&regions);
    for smaps::Mapping { region, usage } in &smaps.mappings {
        if let Some(measured) = Measured::of(region, usage) {
            space.set_truth(region.start, region.end, &measured, 1);
        }
    }
    check(&space);
}

/// A recording, replayed to its end.
pub fn recording(bytes: &[u8]) {
    let _ = replay::replay(bytes, |_| {});
}

/// Memory of a process, read by every reader of allocator counters.
pub fn counters(bytes: &[u8]) {
    let (memory, files) = image::parse(bytes);
    for reader in readers() {
        conformance::holds(*reader, memory.clone(), &files).ok();
    }
}

/// Memory of a process, read by every reader of objects.
pub fn objects(bytes: &[u8]) {
    let (memory, files) = image::parse(bytes);
    for reader in object_readers() {
        objects::conformance::holds(reader, memory.clone(), &files).ok();
    }
}

fn object_readers() -> impl Iterator<Item = &'static dyn objects::ObjectReader> {
    AllocatorId::ALL.iter().filter_map(|id| id.allocator().objects())
}

/// A stack, walked by the unwind tables of a program; and a record of a stack copy.
pub fn unwind(bytes: &[u8]) {
    if let Some(copy) = ingest::stack::decode(bytes) {
        assert!(copy.bytes.len() <= MOST_BYTES, "a copy is longer than any that is made");
    }
    let Some(stack::Case { program, registers, stack }) = stack::parse(bytes) else { return };
    let read = tables::of_bytes(program);
    let tables = Tables::find(&read);
    let code = |ip: u64| match (&tables, ip.checked_sub(stack::BASE).filter(|at| *at < 1 << 32)) {
        (Some(tables), Some(at)) => {
            let entry = |address| Some((tables.entry(&read, address).ok()?, address));
            match tables.address(at).and_then(entry) {
                Some((entry, address)) => Code::Entry(Arc::new(entry), address),
                None => Code::Bare,
            }
        }
        (None, Some(_)) => Code::Bare,
        (_, None) => Code::None,
    };
    let stack = Stack { base: registers.sp, bytes: &stack };
    let walked = walk(&registers, &stack, &mut UnwindContext::new(), code);
    assert!((1..=MOST_FRAMES).contains(&walked.frames.len()), "a walk has a start and an end");
}

/// A message of a reader process; a scan is taken by a model.
pub fn protocol(bytes: &[u8]) {
    let Some(Taken { scan, is_same }) = messages::take(bytes) else { return };
    assert!(is_same, "a message is another one after it was sent again");
    let Some(scan) = scan else { return };
    let mut model = Model::replayed(Journal::replayed(), Geometry::default());
    model.expect(messages::PID);
    model.take(scan.clone());
    model.take(scan);
    model.snapshot(None);
}

/// A target.
pub type Target = fn(&[u8]);

/// Every target, by the name of its corpus.
pub const TARGETS: [(&str, Target); 12] = [
    ("ring_record", ring_record),
    ("maps", maps),
    ("smaps", smaps),
    ("recording", recording),
    ("counters", counters),
    ("objects", objects),
    ("unwind", unwind),
    ("protocol", protocol),
    ("kernel_log", kernel_log),
    ("proc", proc),
    ("names", names),
    ("elf", elf),
];

/// Checks the invariants of an address space.
fn check(space: &AddressSpace) {
    let (mut behind, mut resident) = (0, 0_u64);
    for (region, held) in space.iter() {
        assert!(region.start >= behind && !region.is_empty(), "regions overlap or are empty");
        behind = region.end;
        if let Some(held) = held {
            assert!(held.resident.0 <= region.len(), "more is resident than there is room");
            assert!(held.lazy_free <= held.resident, "more is free than is resident");
            resident += if region.is_hugetlb { 0 } else { held.resident.0 };
        }
    }
    assert!(space.totals().resident.0 == resident, "the sum is not that of the regions");
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    /// Runs a target on its corpus.
    fn run(name: &str, target: fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
        let mut count = 0;
        for entry in fs::read_dir(&corpus).unwrap() {
            target(&fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "{} is empty", corpus.display());
    }

    /// Messages that nobody takes are no start for the fuzzer: the protocol has changed.
    #[test]
    fn every_message_of_the_corpus_is_taken() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/protocol");
        for entry in fs::read_dir(corpus).unwrap() {
            let path = entry.unwrap().path();
            let taken = super::messages::take(&fs::read(&path).unwrap());
            assert!(taken.is_some_and(|taken| taken.is_same), "{}", path.display());
        }
    }

    /// Each corpus contains memory that its reader accepts, as a start for the fuzzer.
    #[test]
    fn every_reader_has_memory_that_it_reads() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/counters");
        for reader in super::readers() {
            let bytes = fs::read(corpus.join(reader.name())).unwrap();
            let (memory, files) = super::image::parse(&bytes);
            if let Err(absent) = super::conformance::holds(*reader, memory, &files) {
                panic!("{absent}");
            }
        }
    }

    /// The same for what fills a heap: a row for a type.
    #[test]
    fn every_reader_of_objects_has_memory_that_it_reads() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/objects");
        // HotSpot's classes are found by names in its file, which memory alone does not have: see its own tests.
        for reader in super::object_readers().filter(|reader| reader.name() != "jvm") {
            let bytes = fs::read(corpus.join(reader.name())).unwrap();
            let (memory, files) = super::image::parse(&bytes);
            let read = super::objects::conformance::holds(reader, memory, &files);
            assert!(read.as_ref().is_ok_and(|objects| !objects.rows.is_empty()), "{read:?}");
        }
    }

    #[test]
    fn corpora_have_no_finding() {
        for (name, target) in super::TARGETS {
            run(name, target);
        }
    }
}
