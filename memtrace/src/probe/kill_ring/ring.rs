//! The layout of a ring buffer map (Documentation/bpf/ringbuf.rst).
//!
//! Shared memory -> its records, and the position up to which it is consumed. Total: no contents make it panic or read
//! out of bounds.

use std::{
    io,
    sync::{Mutex, PoisonError, atomic::Ordering},
};

use super::{
    held::{Held, Key},
    mapping::Mapping,
};

/// Bytes before each record: its length with two flags, and a number of pages (include/uapi/linux/bpf.h).
const HEAD: usize = 8;
/// The record is still being written.
const BUSY: u32 = 1 << 31;
/// The program did not send the record.
const DISCARDED: u32 = 1 << 30;

/// The mapped ring.
#[derive(Debug)]
pub struct Ring {
    consumer: Mapping,
    producer: Mapping,
    /// Bytes in front of the data, with the producer's position at their start.
    page: usize,
    /// Bytes of data, a power of two.
    size: usize,
    held: Mutex<Held>,
}

/// What is at a position.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// A record, and where the next one starts.
    Record(Vec<u8>, usize),
    /// Nothing that was sent; the next record starts here.
    Discarded(usize),
    /// A record that is still being written.
    Busy,
    /// The end.
    Nothing,
}

impl Ring {
    /// A ring of this many bytes. The mapping of the producer starts with a page for its position, then the data, once.
    ///
    /// # Errors
    /// When these are no mappings of a ring.
    pub fn new(consumer: Mapping, producer: Mapping, page: usize, size: usize) -> io::Result<Self> {
        let no_ring = || io::Error::other("the map has no ring buffer");
        let is_whole =
            size.is_power_of_two() && producer.size() >= page + size && producer.position(0).is_some();
        let consumed = consumer.position(0).filter(|_| is_whole).ok_or_else(no_ring)?.load(Ordering::Acquire);
        Ok(Self { consumer, producer, page, size, held: Mutex::new(Held::new(consumed)) })
    }

    /// The position up to which it is consumed.
    pub fn consumed(&self) -> usize {
        self.consumer.position(0).map_or(0, |position| position.load(Ordering::Acquire))
    }

    /// Reads at a position, which must be that of a record or the end.
    pub fn at(&self, position: usize) -> Found {
        let produced = self.producer.position(0).map_or(position, |end| end.load(Ordering::Acquire));
        let unread = produced.wrapping_sub(position);
        let offset = self.page + (position & (self.size - 1));
        let Some(head) = self.producer.word(offset).filter(|_| unread >= HEAD && unread <= self.size) else {
            return Found::Nothing;
        };
        // Pairs with the kernel's store of the head after the record.
        let head = head.load(Ordering::Acquire);
        if head & BUSY != 0 {
            return Found::Busy;
        }
        let len = (head & !DISCARDED) as usize;
        let whole = HEAD.saturating_add(len).next_multiple_of(HEAD);
        if whole > unread {
            return Found::Nothing;
        }
        let end = position.wrapping_add(whole);
        if head & DISCARDED != 0 {
            return Found::Discarded(end);
        }
        let mut record = Vec::with_capacity(len);
        // It may continue at the start of the data.
        let start = position.wrapping_add(HEAD) & (self.size - 1);
        let first = len.min(self.size - start);
        let is_copied = self.producer.copy(self.page + start, first, &mut record)
            && self.producer.copy(self.page, len - first, &mut record);
        if is_copied { Found::Record(record, end) } else { Found::Nothing }
    }

    /// Notes that the next record was read. It is held if it has a key; at most half of the ring is.
    pub fn hold(&self, end: usize, key: Option<Key>) {
        self.change(|held| held.push(end, key, self.size / 2));
    }

    /// Lets records go.
    pub fn release(&self, keys: impl IntoIterator<Item = Key>) {
        self.change(|held| keys.into_iter().for_each(|key| held.release(key)));
    }

    fn change(&self, change: impl FnOnce(&mut Held)) {
        // The state is whole after each change.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut held);
        if let Some(position) = self.consumer.position(0) {
            position.store(held.consumed(), Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        os::{fd::AsFd as _, unix::fs::FileExt as _},
    };

    use proptest::prelude::*;
    use rustix::fs::{MemfdFlags, memfd_create};

    use super::{BUSY, DISCARDED, Found, HEAD, Key, Mapping, Ring};

    const SIZE: usize = 4096;

    /// A ring in a file: the consumer's page, the producer's page, the data.
    struct Fake {
        file: File,
        page: usize,
    }

    impl Fake {
        fn new() -> Self {
            let file = File::from(memfd_create("ring", MemfdFlags::CLOEXEC).unwrap());
            let page = rustix::param::page_size();
            file.set_len((2 * page + SIZE) as u64).unwrap();
            Self { file, page }
        }

        fn open(&self) -> Ring {
            let consumer = Mapping::new(self.file.as_fd(), 0, self.page, true).unwrap();
            let producer = Mapping::new(self.file.as_fd(), self.page, self.page + SIZE, false).unwrap();
            Ring::new(consumer, producer, self.page, SIZE).unwrap()
        }

        fn set(&self, consumed: usize, produced: usize) {
            self.file.write_all_at(&consumed.to_ne_bytes(), 0).unwrap();
            self.file.write_all_at(&produced.to_ne_bytes(), self.page as u64).unwrap();
        }

        fn write(&self, position: usize, bytes: &[u8]) {
            for (index, byte) in bytes.iter().enumerate() {
                let at = 2 * self.page + (position + index) % SIZE;
                self.file.write_all_at(&[*byte], at as u64).unwrap();
            }
        }

        /// Writes a record; returns where the next one starts.
        fn put(&self, position: usize, flags: u32, bytes: &[u8]) -> usize {
            self.write(position, &(bytes.len() as u32 | flags).to_ne_bytes());
            self.write(position + HEAD, bytes);
            position + (HEAD + bytes.len()).next_multiple_of(HEAD)
        }
    }

    #[test]
    fn records_are_read_in_order_and_around_the_end() {
        let fake = Fake::new();
        let start = SIZE - 16;
        let second = fake.put(start, 0, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        let third = fake.put(second, DISCARDED, &[0; 5]);
        let fourth = fake.put(third, 0, &[11]);
        let end = fake.put(fourth, BUSY, &[12]);
        fake.set(start, end);
        let ring = fake.open();
        assert_eq!(ring.consumed(), start);
        assert_eq!(ring.at(start), Found::Record(vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10], second));
        assert_eq!(ring.at(second), Found::Discarded(third));
        assert_eq!(ring.at(third), Found::Record(vec![11], fourth));
        assert_eq!(ring.at(fourth), Found::Busy);
        assert_eq!(ring.at(end), Found::Nothing);
    }

    #[test]
    fn the_next_reader_starts_at_the_first_that_was_not_released() {
        let fake = Fake::new();
        let second = fake.put(0, 0, &[1; 8]);
        let end = fake.put(second, 0, &[2; 8]);
        fake.set(0, end);
        let key = |ktime| Key { ktime, tid: 1 };
        let ring = fake.open();
        ring.hold(second, Some(key(1)));
        ring.hold(end, Some(key(2)));
        assert_eq!(fake.open().consumed(), 0);
        ring.release([key(1)]);
        assert_eq!(fake.open().consumed(), second);
        ring.release([key(2)]);
        assert_eq!(fake.open().consumed(), end);
    }

    #[test]
    fn half_of_the_ring_stays_free() {
        let fake = Fake::new();
        let ring = fake.open();
        for end in (8..=SIZE).step_by(8) {
            ring.hold(end, Some(Key { ktime: end as u64, tid: 1 }));
        }
        assert_eq!(ring.consumed(), SIZE / 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_contents_are_read_without_harm(
            words in prop::collection::vec(any::<u32>(), SIZE / 4),
            position in any::<usize>(),
            produced in 0..2 * SIZE,
        ) {
            let fake = Fake::new();
            let bytes: Vec<u8> = words.iter().flat_map(|word| (word & 0xc000_0fff).to_ne_bytes()).collect();
            fake.file.write_all_at(&bytes, 2 * fake.page as u64).unwrap();
            fake.set(0, position.wrapping_add(produced));
            let ring = fake.open();
            if let Found::Record(record, end) = ring.at(position) {
                prop_assert!(record.len() + HEAD <= end.wrapping_sub(position));
                prop_assert!(end.wrapping_sub(position) <= produced);
            }
        }
    }
}
