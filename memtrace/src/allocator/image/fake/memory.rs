//! A proptest strategy for arbitrary memory.
//!
//! Input: none. Output: [`Fake`]s whose words are like those of allocators.

use proptest::prelude::*;

use super::{Fake, PAGE};

/// Arbitrary memory: up to six ranges where allocators keep structures. The words are mostly pointers into the ranges,
/// small numbers and sizes, which get furthest into a reader.
pub fn memory() -> impl Strategy<Value = Fake> {
    let place = prop_oneof![
        Just(0x5555_5555_0000_u64),
        Just(0x7f00_0000_0000),
        Just(0x7f00_0400_0000),
        Just(0xc0_0000_0000),
        Just(0x200_0000_0000),
        any::<u32>().prop_map(|at| u64::from(at) << 14),
        Just((1 << 47) - (1 << 16)),
    ];
    let range = (place, 1..8_u64, any::<u64>());
    (prop::collection::vec(range, 1..6), any::<bool>()).prop_map(|(ranges, is_restless)| {
        let mut fake = Fake { is_restless, left: 16 << 20, reads_left: 100_000, ..Fake::default() };
        let places: Vec<u64> = ranges.iter().map(|(at, ..)| *at).collect();
        for (at, pages, seed) in ranges {
            let is_free = fake.ranges().iter().all(|(start, end)| at + (pages << 12) < *start || at > *end);
            if is_free && at.checked_add(pages << 12).is_some() {
                fake = fake.with_words(at, &words(seed, pages * PAGE / 8, &places));
            }
        }
        fake
    })
}

/// Words like those of an allocator, from a seed.
fn words(seed: u64, count: u64, places: &[u64]) -> Vec<u64> {
    let mut state = seed | 1;
    let mut next = move || {
        // splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    };
    let mut word = || {
        let random = next();
        let offset = random >> 32 & 0x7ff8;
        match random % 8 {
            0 => 0,
            1 | 2 => places[(random >> 8) as usize % places.len()].wrapping_add(offset),
            3 => offset | random >> 8 & 7,
            4 => random >> 8 & 0xff,
            5 => u64::MAX,
            6 => (random >> 8 & 0xfffff) << 12 | 1,
            _ => random,
        }
    };
    (0..count).map(|_| word()).collect()
}
