//! Handmade arenas, and arbitrary memory.

use proptest::prelude::*;

use super::*;
use crate::allocator::{
    counters::conformance,
    image::fake::{self, Fake},
};

const AT: u64 = 3 << 40;

/// An arena of version 3 with 64 slices: the first four are its own, one page of 4 KiB blocks in slice 4, one of 64
/// bytes in slice 5, slice 6 free and resident, and the rest never touched.
fn arena() -> Fake {
    let mut fake = Fake::default().with(AT, vec![0; 7 << 16]);
    let mut word = |at: u64, word: u64| fake.write_word(AT + at, word);
    for (at, value) in [
        (0, AT),
        (8, 64 << 16),
        (24, 0x5555_5555_0000),
        (40, 64),
        (48, 4),
        (104, AT + 0x1000),
        (136, AT + 0x8000),
        (144, AT + 0x2000),
        // Free: all from slice 6 on. Pages: 4 and 5.
        (0x1000, 1),
        (0x1000 + 448, !0x3f),
        (0x2000, 1),
        (0x2000 + 128, 0x30),
    ] {
        word(at, value);
    }
    for (slice, used, count, size) in [(4_u64, 3_u64, 16_u64, 4096_u64), (5, 1000, 1024, 64)] {
        let head = 0x8000 + slice * 120;
        word(head + 16, used | count << 16 | count << 32);
        word(head + 40, size);
        word(head + 48, AT + (slice << 16));
    }
    fake
}

#[test]
fn an_arena_is_counted_block_by_block() {
    let (version, found) = arenas_in(&mut arena(), AT, AT + (64 << 16)).unwrap();
    assert_eq!((version, found.len()), (arena::VERSIONS, 1));
    let Tally { start, bytes, used, free, metadata } = found[0];
    assert_eq!((start, bytes, metadata), (AT, 64 << 16, 4 << 16));
    assert_eq!(used, 3 * 4096 + 1000 * 64);
    assert_eq!(used + free, 3 << 16);
}

#[test]
fn a_page_with_more_blocks_in_use_than_it_has_spoils_the_arena() {
    let mut fake = arena();
    fake.write(AT + 0x8000 + 4 * 120 + 16, &[17]);
    assert_eq!(arenas_in(&mut fake, AT, AT + (64 << 16)), None);
    let mut short = arena();
    assert_eq!(arenas_in(&mut short, AT, AT + (63 << 16)), None);
}

/// One page of 1 KiB blocks, one free span, in each layout.
#[test]
fn a_segment_is_counted_when_its_spans_fill_it() {
    for (slices, kind, entries, heads) in [(248, 264, 272, 288), (224, 240, 248, 264)] {
        let mut fake = Fake::default().with(AT, vec![0; 4 << 16]);
        let mut word = |at: u64, word: u64| fake.write_word(AT + at, word);
        word(0, 1);
        word(slices, 512);
        word(slices + 8, 1);
        word(kind, 0);
        word(entries, 512);
        word(heads + 96, 1);
        word(heads + 96 + 32, 60);
        word(heads + 96 + 40, 1024);
        word(heads + 2 * 96, 510);
        let (_, found) = arenas_in(&mut fake, AT, AT + (32 << 20)).unwrap();
        assert_eq!((found[0].used, found[0].metadata), (60 << 10, 1 << 16));
        assert_eq!(found[0].free, (3 << 16) - (60 << 10));
        fake.write_word(AT + heads + 2 * 96, 509);
        assert_eq!(arenas_in(&mut fake, AT, AT + (32 << 20)), None);
    }
}

proptest! {
    #[test]
    fn any_memory_is_read_to_an_end(memory in fake::memory()) {
        conformance::holds(&Mimalloc, memory, &fake::NO_FILES).ok();
    }
}
