//! Handmade arenas, and arbitrary memory.

use std::sync::Arc;

use proptest::prelude::*;

use super::{layout::Place, *};
use crate::{
    allocator::{
        counters::conformance,
        evidence::{Marks, Module},
        image::fake::{self, Fake},
    },
    mm::region::{Backing, File, Region},
};

const DATA: u64 = 0x5555_5555_0000;
const HEAP: u64 = 0x7f00_0020_0000;
const STEP: u64 = 0x2_0000;
/// Heads of extents, and the leaf that points to them.
const HEADS: u64 = 0x7f00_1000_0000;
const LEAF: u64 = 0x7f00_2000_0000;

/// Writes an arena with a layout into existing memory.
fn arena(fake: &mut Fake, layout: &Layout, index: u32, pages: [u64; 4]) {
    let at = HEAP + STEP * u64::from(index) + 0x1040;
    let base = at - 0x1000;
    for (state, extents) in (1_u64..).zip(&layout.extents) {
        let index = if extents.guarded.is_some() { u64::from(index) << 32 } else { 0 };
        fake.write_word(at + extents.state, state | index);
    }
    match layout.place {
        Place::Own { index: own, base: place, shard_base } => {
            fake.write_word(at + own, u64::from(index));
            fake.write_word(at + place, base);
            fake.write_word(at + shard_base, base);
        }
        Place::Base(place) => {
            fake.write_word(at + place, base);
            fake.write_word(base, u64::from(index));
        }
    }
    fake.write_word(at + layout.active, pages[0]);
    for (extents, pages) in layout.extents.iter().zip(&pages[1..]) {
        fake.write_word(at + extents.pages, *pages);
    }
    fake.write_word(at + layout.decay[0], 10_000);
}

fn read(mut fake: Fake) -> Result<Counters, Absent> {
    let file = Arc::new(File { device: 1, inode: 1, path: b"/server".to_vec() });
    let writable = Prot(Prot::READ | Prot::WRITE);
    let regions = [
        Region::new(DATA, DATA + 0x1_0000, writable, Backing::File(Arc::clone(&file))),
        Region::new(HEAP, HEAP + 8 * STEP, writable, Backing::Anonymous),
        Region::new(HEADS, HEADS + (4 << 20), writable, Backing::Anonymous),
        Region::new(LEAF, LEAF + (2 << 20), writable, Backing::Anonymous),
    ];
    let images = vec![std::ops::Range { start: DATA, end: DATA + 0x1_0000 }];
    let marks = Marks::default().with(Mark::Jemalloc);
    let module = Module { file, code: Vec::new(), images, marks, is_read: true, names: None };
    let process = ProcessEvidence::new(vec![module]);
    let mut target =
        Target { image: &mut fake, files: &fake::NO_FILES, process: &process, regions: &regions, owned: &[] };
    Jemalloc.read(&mut target)
}

fn empty() -> Fake {
    Fake::default().with(DATA, vec![0; 0x1_0000]).with(HEAP, vec![0; 8 * STEP as usize])
}

#[test]
fn every_layout_of_this_machine_is_found_and_summed_up() {
    for layout in LAYOUTS.iter().filter(|layout| layout.arch == std::env::consts::ARCH && layout.page == 4096)
    {
        let mut fake = empty();
        for (index, pages) in [(0, [100, 50, 3, 7]), (2, [10, 5, 0, 1])] {
            arena(&mut fake, layout, index, pages);
            // The array, and a pointer to the first arena elsewhere.
            fake.write_word(DATA + 0x800 + 8 * u64::from(index), HEAP + STEP * u64::from(index) + 0x1040);
        }
        fake.write_word(DATA + 0x100, HEAP + 0x1040);
        fake.write_word(DATA + 0x108, 0xdead_beef);
        let counters = read(fake).unwrap();
        assert_eq!(counters.version.as_deref(), Some(layout.version));
        assert_eq!(counters.arenas.len(), 2, "{layout:?}");
        assert_eq!(counters.allocated_bytes, Some(Bytes(110 * 4096)));
        assert_eq!(counters.free_resident_bytes, Some(Bytes(55 * 4096)));
        assert_eq!(counters.lazily_freed_bytes, Some(Bytes(3 * 4096)));
        assert_eq!(counters.retained_bytes, Some(Bytes(8 * 4096)));
        // Without statistics: reported as missing, and no exact figure in use.
        assert_eq!((counters.error_bytes, counters.missing.len()), (None, 3));
        assert_eq!(counters.settings[0].value, "10000");
    }
}

#[test]
fn an_arena_that_contradicts_itself_is_none() {
    let layout = LAYOUTS.iter().find(|layout| layout.arch == std::env::consts::ARCH).unwrap();
    let mut fake = empty();
    arena(&mut fake, layout, 0, [1, 1, 1, 1]);
    fake.write_word(DATA + 0x800, HEAP + 0x1040);
    assert!(read(fake.clone()).is_ok());
    fake.write_word(HEAP + 0x1040 + layout.extents[1].state, 3);
    assert!(read(fake).unwrap_err().reason.contains("not found"));
}

/// Slabs of one page with 64 blocks of 64 bytes, the first ones full and the last ones nearly empty, in a build without
/// statistics; with the bytes in use.
fn slabs(count: u64) -> (Fake, u64) {
    let layout = LAYOUTS.iter().find(|layout| layout.arch == std::env::consts::ARCH && layout.page == 4096);
    let (mut heads, mut leaf, mut used) = (Vec::new(), Vec::new(), 0);
    for slab in 0..count {
        let free = slab * 60 / count;
        let bits = 1 << 12 | 4 << 20 | free << 28;
        heads.extend([bits, 0x7e00_0000_0000 + slab * 4096, 4096]);
        heads.resize(heads.len() + 13, 0);
        leaf.push((HEADS + slab * 128) | 4 << 48 | 1);
        used += (64 - free) * 64;
    }
    let mut fake = empty().with_words(HEADS, &heads).with_words(LEAF, &leaf);
    arena(&mut fake, layout.unwrap(), 0, [count, 0, 0, 0]);
    fake.write_word(DATA + 0x800, HEAP + 0x1040);
    fake.write_word(DATA + 0x900, LEAF);
    (fake, used)
}

#[test]
fn without_statistics_extents_say_how_full_pages_are() {
    let (fake, used) = slabs(16 << 10);
    let counters = read(fake).unwrap();
    assert_eq!((counters.allocated_bytes, counters.error_bytes), (Some(Bytes(used)), Some(Bytes(0))));
    assert_eq!(counters.grade, Grade::Read);
}

/// On slower and slower machines: as long as there are figures with a bound, the true value is within it.
#[test]
fn with_less_time_extents_are_sampled_and_the_bound_holds() {
    let (fake, used) = slabs(16 << 10);
    let mut sampled = 0;
    for each in (0..150).map(|step| step * 100) {
        let Ok(counters) = read(fake.slowed(8 << 20, each)) else { continue };
        let Some(Bytes(off)) = counters.error_bytes else { continue };
        let Bytes(read) = counters.allocated_bytes.unwrap();
        assert!(read.abs_diff(used) <= off, "{each}: {read} of {used}, off by {off}");
        sampled += u32::from(counters.grade == Grade::Sampled);
    }
    assert!(sampled > 20, "{sampled} sampled");
}

proptest! {
    #[test]
    fn any_memory_is_read_to_an_end(memory in fake::memory()) {
        conformance::holds(&Jemalloc, memory, &fake::NO_FILES).ok();
    }
}
