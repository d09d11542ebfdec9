//! Decodes copies of user stacks, and matches them with their faults.
//!
//! Input: records, faults. Output: the copy of a fault. Pure and total: no bytes make it panic. Copies whose fault does
//! not arrive (its ring was full) are dropped after a while.

use std::collections::BTreeMap;

use memtrace_common::event::{
    fault::{Fault, copied},
    stack::{Head, MOST_BYTES, Registers},
};
use zerocopy::FromBytes as _;

/// How long a copy waits for its fault, in ns: longer than the reorder window.
const PATIENCE: u64 = 1_000_000_000;

/// A copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackCopy {
    /// Time of the fault, ns since boot.
    pub ktime: u64,
    /// The thread.
    pub tid: u32,
    /// Its registers in user space.
    pub registers: Registers,
    /// Address of the first byte.
    pub base: u64,
    /// Its stack, from there up.
    pub bytes: Box<[u8]>,
}

/// Decodes a record; `None` when the bytes are not exactly one record.
pub fn decode(record: &[u8]) -> Option<StackCopy> {
    let (Head { ktime, tid, len, base, registers }, bytes) = Head::read_from_prefix(record).ok()?;
    let is_whole = bytes.len() == len as usize && bytes.len() <= MOST_BYTES;
    is_whole.then(|| StackCopy { ktime, tid, registers, base, bytes: bytes.into() })
}

/// Copies that wait for their faults.
#[derive(Debug, Default)]
pub struct Copies {
    waiting: BTreeMap<(u64, u32), StackCopy>,
}

impl Copies {
    /// Adds a copy.
    pub fn put(&mut self, copy: StackCopy) {
        self.waiting.insert((copy.ktime, copy.tid), copy);
    }

    /// Takes the copy of this fault.
    pub fn of(&mut self, fault: &Fault) -> Option<StackCopy> {
        let key = (fault.header.ktime, fault.header.tid);
        (fault.copied == copied::YES).then(|| self.waiting.remove(&key))?
    }

    /// Drops copies that have waited too long.
    pub fn forget(&mut self, now: u64) {
        let old = now.saturating_sub(PATIENCE);
        while self.waiting.first_key_value().is_some_and(|((ktime, _), _)| *ktime < old) {
            self.waiting.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use memtrace_common::event::{
        fault::{Fault, copied},
        stack::{Head, MOST_BYTES},
    };
    use zerocopy::{FromZeros as _, IntoBytes as _};

    use super::{Copies, PATIENCE, StackCopy, decode};

    fn record(len: u32, bytes: usize) -> Vec<u8> {
        [Head { ktime: 7, tid: 3, len, ..Head::default() }.as_bytes(), &vec![1; bytes]].concat()
    }

    fn copy(ktime: u64) -> StackCopy {
        StackCopy { ktime, ..decode(&record(512, 512)).unwrap() }
    }

    #[test]
    fn a_record_is_as_long_as_it_says_and_no_longer_than_any() {
        assert_eq!(decode(&record(512, 512)).unwrap().bytes.len(), 512);
        for (len, bytes) in [(512, 511), (512, 513), (MOST_BYTES as u32 + 1, MOST_BYTES + 1), (u32::MAX, 8)] {
            assert_eq!(decode(&record(len, bytes)), None, "{len}, {bytes}");
        }
        assert_eq!(decode(&[]), None);
    }

    #[test]
    fn a_copy_is_of_one_fault_and_does_not_wait_for_ever() {
        let mut copies = Copies::default();
        copies.put(copy(7));
        copies.put(copy(8));
        let mut fault = Fault::new_zeroed();
        (fault.header.ktime, fault.header.tid) = (7, 3);
        assert_eq!(copies.of(&fault), None, "it says that it has none");
        fault.copied = copied::YES;
        assert_eq!(copies.of(&fault), Some(copy(7)));
        assert_eq!(copies.of(&fault), None);
        copies.forget(8 + PATIENCE);
        assert_eq!(copies.waiting.len(), 1);
        copies.forget(9 + PATIENCE);
        assert_eq!(copies.waiting.len(), 0);
    }
}
