//! Memory from a fuzzer's bytes.
//!
//! Bytes -> a [`Fake`] and the bytes of a file. The encoding makes inputs that get far into a reader from few bytes:
//! pointers between ranges, small numbers, runs of equal words. Never fails: truncated input just ends.

use crate::allocator::image::fake::{Fake, FakeFiles};

/// Addresses that allocators use.
const PLACES: [u64; 8] = [
    0x5555_5555_0000,
    0x7f00_0000_0000,
    0x7f00_0400_0000,
    0xc0_0000_0000,
    0x200_0000_0000,
    0x5555_5557_0000,
    0x7f00_0010_0000,
    (1 << 47) - (1 << 18),
];
/// The most words of one range, so that it does not reach the next.
const MOST_WORDS: usize = 1 << 14;
const MOST_RANGES: usize = 6;

/// A byte of flags; then ranges, each a place and words until a byte that ends it; the rest is the file.
pub(super) fn parse(bytes: &[u8]) -> (Fake, FakeFiles) {
    let mut input = Input(bytes);
    let flags = input.byte().unwrap_or(0);
    // A small budget, so that a case takes milliseconds.
    let mut fake = Fake::default();
    (fake.is_restless, fake.left, fake.reads_left) = (flags & 1 != 0, 16 << 20, 100_000);
    let mut taken = 0_u8;
    for _ in 0..MOST_RANGES {
        let Some(place) = input.byte().map(|byte| byte % 8) else { break };
        let words = input.words();
        if taken >> place & 1 == 0 && !words.is_empty() {
            taken |= 1 << place;
            fake = fake.with_words(at(place), &words);
        }
    }
    (fake, FakeFiles((!input.0.is_empty()).then(|| input.0.to_vec())))
}

fn at(place: u8) -> u64 {
    PLACES.get(usize::from(place)).copied().unwrap_or_default()
}

struct Input<'b>(&'b [u8]);

impl Input<'_> {
    fn byte(&mut self) -> Option<u8> {
        self.some::<1>().map(|[byte]| byte)
    }

    fn some<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn words(&mut self) -> Vec<u64> {
        let mut words: Vec<u64> = Vec::new();
        while words.len() < MOST_WORDS {
            let Some(kind) = self.byte() else { break };
            let word = match kind % 8 {
                0 => Some(0),
                1 | 2 => self.some().map(|[low, high, place]| {
                    at(place % 8) + (u64::from(u16::from_le_bytes([low, high])) << 3)
                }),
                3 => self.some().map(|bytes| u64::from(u16::from_le_bytes(bytes))),
                4 => self.some().map(|bytes| u64::from(u32::from_le_bytes(bytes))),
                5 => self.some().map(u64::from_le_bytes),
                // Repeats the last word.
                6 => {
                    let Some(count) = self.some().map(u16::from_le_bytes) else { break };
                    let last = words.last().copied().unwrap_or_default();
                    let room = MOST_WORDS - words.len();
                    words.extend(std::iter::repeat_n(last, room.min(usize::from(count))));
                    continue;
                }
                _ => None,
            };
            let Some(word) = word else { break };
            words.push(word);
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_ranges_of_words_and_a_file() {
        // At place 1: 7, twice more, a pointer to place 0 and eight bytes on; at place 0: one word; a file.
        let bytes = [0, 1, 3, 7, 0, 6, 2, 0, 1, 1, 0, 0, 7, 0, 0, 7, 0, 7, 0, 7, 0, 7, 0, 7, 9, 9];
        let (fake, files) = parse(&bytes);
        assert_eq!(fake.ranges(), [(at(0), at(0) + 8), (at(1), at(1) + 32)]);
        assert_eq!(files.0.as_deref(), Some(&[9, 9][..]));
    }

    #[test]
    fn anything_is_some_memory() {
        for len in 0..40 {
            parse(&vec![6; len]);
            parse(&vec![255; len]);
        }
    }
}
