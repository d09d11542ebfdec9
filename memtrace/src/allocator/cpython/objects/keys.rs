//! The table of keys of a dict.
//!
//! Input: the head of a `PyDictKeysObject`. Output: its size and where its entries are. Pure but for one read. The two
//! layouts exclude each other: no version of Python is needed.

use crate::allocator::{counters::data::word, image::Image};

/// `ma_keys` and `ma_values` of `PyDictObject`.
pub const MA_KEYS: u64 = 32;
pub const MA_VALUES: usize = 40;
/// Bytes of a head.
pub const HEAD: usize = 40;
/// The largest table, 2^40 places.
const MOST_LOG: u8 = 40;

/// A table of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Who refers to it: a table that several dicts share belongs to none.
    pub references: u64,
    /// Places.
    places: u64,
    /// Bytes of the indices.
    indices: u64,
    /// Bytes of an entry.
    entry: u64,
    /// Bytes of the head.
    head: u64,
}

impl Keys {
    /// The table at this address.
    pub fn read(image: &mut dyn Image, at: u64) -> Option<Self> {
        let mut head = [0; HEAD];
        image.read(at, &mut head).then(|| Self::of(&head)).flatten()
    }

    /// The table with this head.
    pub fn of(head: &[u8]) -> Option<Self> {
        let (references, size) = (word(head, 0)?, word(head, 8)?);
        // 3.8 to 3.10: the number of places is a power of two, and this word holds nothing else.
        if size.is_power_of_two() && (8..1 << MOST_LOG).contains(&size) {
            let width = match size {
                0..=0xff => 1,
                0x100..=0xffff => 2,
                0x1_0000..=0xffff_ffff => 4,
                _ => 8,
            };
            return Some(Self { references, places: size, indices: size * width, entry: 24, head: 40 });
        }
        // Since 3.11: three bytes, with the logarithms of the places and of the bytes of the indices.
        let [log_places, log_indices, kind, ..] = size.to_le_bytes();
        let is_table = (3..=MOST_LOG).contains(&log_places)
            && (log_places..=log_places + 3).contains(&log_indices)
            && kind <= 2;
        let entry = if kind == 0 { 24 } else { 16 };
        is_table.then(|| Self {
            references,
            places: 1 << log_places,
            indices: 1 << log_indices,
            entry,
            head: 32,
        })
    }

    /// Entries that it has room for.
    pub const fn usable(&self) -> u64 {
        self.places / 3 * 2 + self.places % 3 * 2 / 3
    }

    /// Bytes of an entry.
    pub const fn entry(&self) -> u64 {
        self.entry
    }

    /// The offset of its first entry.
    pub const fn entries_at(&self) -> u64 {
        self.head + self.indices
    }

    /// Bytes of all of it.
    pub const fn bytes(&self) -> u64 {
        self.entries_at() + self.usable() * self.entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: [u64; 5]) -> Option<Keys> {
        Keys::of(&words.map(u64::to_le_bytes).concat())
    }

    #[test]
    fn both_layouts_say_what_getsizeof_says() {
        // `sys.getsizeof(d) - sys.getsizeof({})` for d with 1, 100 and 70,000 entries: 3.8 and 3.10, then 3.11 and 3.13.
        let old = |places: u64| of([1, places, 0, 0, 0]).unwrap().bytes();
        assert_eq!([8, 256, 1 << 17].map(old), [168, 4632, 2_621_472]);
        let new = |kind: u64| {
            let table = |log: u64, log_indices: u64| {
                of([1, log | log_indices << 8 | kind << 16, 0, 0, 0]).unwrap().bytes()
            };
            [table(3, 3), table(8, 9), table(17, 19)]
        };
        assert_eq!((new(1), new(0)), ([120, 3264, 1_922_416], [160, 4624, 2_621_464]));
    }

    #[test]
    fn what_is_neither_is_no_table() {
        // The empty table that all dicts share has one place.
        for size in [0, 1, 7, 100, 0x0200_0003, 3 | 9 << 8, u64::MAX, 1 << 50] {
            assert_eq!(of([1, size, 0, 0, 0]), None, "{size:x}");
        }
        assert_eq!(Keys::of(&[1; 9]), None);
    }
}
