//! Memory made of byte ranges, for tests and fuzzing.
//!
//! Input: ranges. Output: an [`Image`] with a budget, like the real one.

use std::collections::BTreeMap;

use super::{Files, Image};

#[cfg(test)]
mod memory;

#[cfg(test)]
pub use memory::memory;

/// Bytes of a page.
pub const PAGE: u64 = 4096;

/// Fake memory. Addresses outside all ranges are not present.
#[derive(Clone, Debug)]
pub struct Fake {
    ranges: BTreeMap<u64, Vec<u8>>,
    /// Bytes that may still be read.
    pub left: u64,
    /// Remaining number of reads, which ends a reader that loops.
    pub reads_left: u64,
    /// Cost of every read and query besides its bytes: simulates a slow machine.
    pub each: u64,
    /// Whether every second read returns different bytes, as in a running process.
    pub is_restless: bool,
    count: u64,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            ranges: BTreeMap::new(),
            left: 256 << 20,
            reads_left: 1 << 20,
            each: 0,
            is_restless: false,
            count: 0,
        }
    }
}

impl Fake {
    /// Adds bytes at an address. Ranges must not overlap.
    pub fn with(mut self, start: u64, bytes: Vec<u8>) -> Self {
        self.ranges.insert(start, bytes);
        self
    }

    /// Adds words at an address.
    pub fn with_words(self, start: u64, words: &[u64]) -> Self {
        self.with(start, words.iter().flat_map(|word| word.to_le_bytes()).collect())
    }

    /// A copy with another budget and another cost per operation.
    #[cfg(test)]
    pub fn slowed(&self, left: u64, each: u64) -> Self {
        Self { left, each, ..self.clone() }
    }

    /// Overwrites existing bytes.
    #[cfg(test)]
    pub fn write(&mut self, address: u64, bytes: &[u8]) {
        let (start, range) = self.ranges.range_mut(..=address).next_back().unwrap();
        let at = usize::try_from(address - start).unwrap();
        range[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Overwrites an existing word.
    #[cfg(test)]
    pub fn write_word(&mut self, address: u64, word: u64) {
        self.write(address, &word.to_le_bytes());
    }

    /// The ranges: first address, and first address after.
    pub fn ranges(&self) -> Vec<(u64, u64)> {
        self.ranges.iter().map(|(start, bytes)| (*start, start + bytes.len() as u64)).collect()
    }
}

impl Image for Fake {
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> bool {
        let (Some(left), Some(reads)) =
            (self.left.checked_sub(self.each + buffer.len() as u64), self.reads_left.checked_sub(1))
        else {
            (self.left, self.reads_left) = (0, 0);
            return false;
        };
        (self.left, self.reads_left) = (left, reads);
        self.count += 1;
        let mut at = address;
        let mut rest = &mut *buffer;
        while !rest.is_empty() {
            let Some((start, bytes)) = self.ranges.range(..=at).next_back() else { return false };
            let there = usize::try_from(at - start).ok().and_then(|from| bytes.get(from..));
            let there = there.unwrap_or_default();
            let len = there.len().min(rest.len());
            if len == 0 {
                return false;
            }
            let (now, later) = rest.split_at_mut(len);
            now.iter_mut().zip(there).for_each(|(to, from)| *to = *from);
            rest = later;
            let Some(next) = at.checked_add(len as u64) else { return rest.is_empty() };
            at = next;
        }
        if self.is_restless && self.count.is_multiple_of(2) {
            for (at, byte) in buffer.iter_mut().enumerate().step_by(13) {
                *byte = byte.wrapping_add((self.count as u8).wrapping_mul(at as u8 | 1));
            }
        }
        true
    }

    fn page_size(&self) -> u64 {
        PAGE
    }

    fn left(&self) -> u64 {
        self.left
    }

    fn is_spent(&self) -> bool {
        self.left == 0 || self.reads_left == 0
    }

    fn present(&mut self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let mut present: Vec<(u64, u64)> = Vec::new();
        self.left = self.left.saturating_sub(self.each);
        if self.is_spent() {
            return present;
        }
        for (from, to) in self.ranges() {
            let (from, to) = (from.max(start), to.min(end));
            match present.last_mut() {
                _ if from >= to => {}
                Some(last) if last.1 == from => last.1 = to,
                _ => present.push((from, to)),
            }
        }
        present
    }
}

/// Files of a process: the same bytes at every path, or none.
pub struct FakeFiles(pub Option<Vec<u8>>);

impl Files for FakeFiles {
    fn read(&self, _path: &[u8], most: usize) -> Option<Vec<u8>> {
        self.0.as_ref().map(|bytes| bytes.iter().copied().take(most).collect())
    }
}

/// A process without files.
pub const NO_FILES: FakeFiles = FakeFiles(None);

#[test]
fn what_is_there_is_read_and_nothing_else() {
    let mut fake = Fake::default().with_words(0x1000, &[1, 2]).with_words(0x1010, &[3]);
    assert_eq!((fake.word(0x1008), fake.word(0x1010), fake.word(0x1014)), (Some(2), Some(3), None));
    let mut bytes = [0; 16];
    assert!(fake.read(0x1008, &mut bytes));
    assert_eq!(fake.read_each(&[0x1000, 0x2000], 8, &mut bytes), [true, false]);
    assert_eq!(fake.present(0, u64::MAX), [(0x1000, 0x1018)]);
    fake.left = 4;
    assert_eq!(fake.word(0x1000), None);
    assert!(fake.is_spent());
}
