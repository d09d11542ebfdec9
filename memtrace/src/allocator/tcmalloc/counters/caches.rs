//! Free objects in gperftools' central lists and thread caches, which the page heap counts as used.
//!
//! Input: the data of gperftools' module. Output: bytes. The table of size classes is recognised by its sizes, the
//! central lists by their consecutive numbers, and a thread's cache by the size of each class in it. Offsets are those
//! of 2.10; with other offsets nothing fits, and there are no figures.

use crate::allocator::{
    counters::{data, data::Data},
    image::Image,
};

/// `kClassSizesMax`.
const MOST_CLASSES: usize = 128;
/// The fewest classes of a table.
const FEWEST_CLASSES: usize = 20;
/// `kMaxSize`, of the usual build and of the small one.
const LARGEST: [u32; 2] = [256 << 10, 32 << 10];

/// Size of `CentralFreeListPadded`, and the offsets of `num_spans_`, `counter_`, `used_slots_` in it.
const CENTRAL: usize = 1216;
const SPANS: usize = 112;
const COUNTER: usize = 120;
const USED_SLOTS: usize = 1152;
/// `kMaxNumTransferEntries`.
const MOST_SLOTS: u32 = 64;
/// `ThreadCache`: a list for each class with its length and object size, followed by the pointers to the next and
/// previous cache.
const LIST: usize = 32;
const LENGTH: usize = 8;
const SIZE: usize = 24;
const NEIGHBOURS: u64 = 4144;
/// The most threads that are read.
const MOST_THREADS: usize = 4096;
/// A cache is aligned to a cache line.
const LINE: u64 = 64;
/// The most words of data that are followed as pointers: a few milliseconds.
const MOST_POINTERS: usize = 1 << 14;
/// The most objects of one list, and of one class in the central lists.
const MOST_OBJECTS: u64 = 1 << 32;

/// A size class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Class {
    size: u64,
    /// Objects that are moved between lists at once.
    batch: u64,
    /// Unused bytes at the end of a span.
    waste: u64,
}

/// Addresses of the table, the central lists and the thread caches.
#[derive(Debug)]
pub(super) struct Caches {
    classes: Vec<Class>,
    central: u64,
    /// Some thread caches; the others are linked to them.
    threads: Vec<u64>,
}

/// Free bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// In central lists, transfers and the waste of spans.
    pub(super) central: u64,
    /// In the caches of threads.
    pub(super) threads: u64,
}

/// Finds them; `None` when anything does not fit.
pub(super) fn locate(image: &mut dyn Image, all: &[Data]) -> Option<Caches> {
    let classes = all.iter().find_map(classes)?;
    let central = all.iter().flat_map(Data::suffixes).find(|(_, words)| is_central(words, classes.len()))?.0;
    let mut caches = Caches { classes, central, threads: Vec::new() };
    caches.threads = caches.threads(image, all);
    Some(caches)
}

/// The table: `num_objects_to_move_`, `class_to_size_`, `class_to_pages_`, one after the other.
fn classes(data: &Data) -> Option<Vec<Class>> {
    let bytes: Vec<u8> = data.words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut halves = (0..bytes.len() / 4).filter(|at| {
        let half = |more: usize| data::half(&bytes, (at + more) * 4);
        (half(0), half(1), half(2)) == (Some(0), Some(8), Some(16))
    });
    halves.find_map(|at| table(&bytes, data.start, at * 4))
}

fn table(bytes: &[u8], start: u64, at: usize) -> Option<Vec<Class>> {
    let size = |class: usize| data::half(bytes, at + class * 4);
    let rising = (1..MOST_CLASSES).take_while(|class| size(*class) > size(class - 1));
    let count = rising.last()? + 1;
    let largest = size(count - 1).filter(|size| LARGEST.contains(size) && count >= FEWEST_CLASSES)?;
    let moves = at.checked_sub(MOST_CLASSES * 4)?;
    let pages_at = (start as usize + at + MOST_CLASSES * 4).next_multiple_of(8) - start as usize;
    let pages = |class: usize| data::word(bytes, pages_at + class * 8).filter(|pages| *pages < 1 << 16);
    let page = u64::from(largest).checked_div(pages(count - 1)?)?;
    let class = |class: usize| {
        let (size, batch) = (u64::from(size(class)?), u64::from(data::half(bytes, moves + class * 4)?));
        let waste = (pages(class)? * page).checked_rem(size)?;
        (batch > 0 && batch < 1 << 16).then_some(Class { size, batch, waste })
    };
    let none = Class { size: 0, batch: 0, waste: 0 };
    std::iter::once(Some(none)).chain((1..count).map(class)).collect()
}

/// Whether each list contains the number of its class.
fn is_central(words: &[u64], classes: usize) -> bool {
    let number = |class: usize| words.get(class * CENTRAL / 8 + 1);
    // The second list first, because few words are followed by a 1 there.
    number(1) == Some(&1) && (0..classes).all(|class| number(class) == Some(&(class as u64)))
}

impl Caches {
    /// The thread caches that data points to.
    fn threads(&self, image: &mut dyn Image, all: &[Data]) -> Vec<u64> {
        // The central lists are full of pointers to objects and spans.
        let lists = self.central..self.central + (self.classes.len() * CENTRAL) as u64;
        let words = all.iter().flat_map(|data| (data.start..).step_by(8).zip(&data.words));
        let pointers = words.filter(|(at, _)| !lists.contains(at)).map(|(_, word)| *word);
        let is_likely = |at: &u64| *at > 1 << 16 && at.is_multiple_of(LINE) && *at < 1 << 47;
        let mut likely: Vec<u64> = pointers.filter(is_likely).collect();
        likely.sort_unstable();
        likely.dedup();
        likely.truncate(MOST_POINTERS);
        // Check the size of the last class first, because it is a rare value.
        let last = self.classes.len().saturating_sub(1);
        let places: Vec<u64> = likely.iter().map(|at| at + (last * LIST + SIZE) as u64).collect();
        let mut sizes = vec![0; places.len() * 8];
        let read = image.read_each(&places, 8, &mut sizes);
        let size = self.classes.last().map(|class| class.size);
        let found = likely
            .into_iter()
            .zip(sizes.chunks_exact(8))
            .zip(read)
            .filter(|((_, bytes), is_read)| *is_read && data::half(bytes, 0).map(u64::from) == size);
        let found: Vec<u64> = found.map(|((at, _), _)| at).collect();
        found.into_iter().filter(|at| self.thread(image, *at).is_some()).take(MOST_THREADS).collect()
    }

    /// Counts the free bytes now; `None` when they are inconsistent.
    pub(super) fn count(&self, image: &mut dyn Image) -> Option<Held> {
        let mut lists = vec![0; self.classes.len() * CENTRAL];
        image.read(self.central, &mut lists).then_some(())?;
        let mut held = Held::default();
        for (class, list) in self.classes.iter().zip(lists.chunks_exact(CENTRAL)) {
            let (spans, objects) = (data::word(list, SPANS)?, data::word(list, COUNTER)?);
            let slots = data::half(list, USED_SLOTS).filter(|slots| *slots <= MOST_SLOTS)?;
            if spans > MOST_OBJECTS || objects > MOST_OBJECTS {
                return None;
            }
            let moving = u64::from(slots) * class.batch;
            held.central += (objects + moving) * class.size + spans * class.waste;
        }
        let (mut queue, mut seen) = (self.threads.clone(), std::collections::HashSet::new());
        while let Some(at) = queue.pop() {
            if !seen.insert(at) {
                continue;
            }
            // The cache of a thread that ended is gone; its objects are in the central lists.
            let Some(thread) = self.thread(image, at) else { continue };
            held.threads = held.threads.saturating_add(thread);
            if seen.len() > MOST_THREADS {
                return None;
            }
            let mut neighbours = [0; 16];
            if image.read(at + NEIGHBOURS, &mut neighbours) {
                queue.extend([0, 8].into_iter().filter_map(|word| data::word(&neighbours, word)));
            }
        }
        Some(held)
    }

    /// Bytes in the cache at an address; `None` if there is none.
    fn thread(&self, image: &mut dyn Image, at: u64) -> Option<u64> {
        at.checked_add(NEIGHBOURS).filter(|_| at != 0)?;
        let mut lists = vec![0; self.classes.len() * LIST];
        image.read(at, &mut lists).then_some(())?;
        let mut sum = 0;
        for (class, list) in self.classes.iter().zip(lists.chunks_exact(LIST)) {
            if u64::from(data::half(list, SIZE)?) != class.size {
                return None;
            }
            sum += u64::from(data::half(list, LENGTH)?) * class.size;
        }
        Some(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocator::image::fake::{Fake, PAGE};

    const SIZES: [u32; 24] = [
        0, 8, 16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256, 288, 320, 352, 384,
        131_072, 262_144,
    ];
    const AT: u64 = 0x7f00_0000_0000;
    const THREADS: [u64; 2] = [0x5555_0000_0000, 0x5555_0000_2000];

    /// Data with a table at an odd half, central lists, and a pointer to the first of two threads.
    fn memory() -> (Fake, Vec<Data>) {
        let mut bytes = vec![0; 0x10000];
        let mut write = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        for (class, size) in SIZES.iter().enumerate() {
            write(0x1004 + class * 4, &size.to_le_bytes());
            write(0x1004 - 512 + class * 4, &32_u32.to_le_bytes());
            write(0x1208 + class * 8, &u64::from(size.div_ceil(8192)).to_le_bytes());
            write(0x2000 + class * CENTRAL + 8, &(class as u64).to_le_bytes());
        }
        // Of class 4, 48 bytes: 5 spans, 7 objects and two batches.
        let list = 0x2000 + 4 * CENTRAL;
        write(list + SPANS, &5_u64.to_le_bytes());
        write(list + COUNTER, &7_u64.to_le_bytes());
        write(list + USED_SLOTS, &2_u32.to_le_bytes());
        write(0x100, &THREADS[0].to_le_bytes());
        let words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
        let mut fake = Fake::default().with(AT, bytes);
        for (at, (length, other)) in THREADS.into_iter().zip([(10_u32, THREADS[1]), (1, 0)]) {
            let mut thread = vec![0; 2 * PAGE as usize];
            for (class, size) in SIZES.iter().enumerate() {
                thread[class * LIST + SIZE..][..4].copy_from_slice(&size.to_le_bytes());
            }
            thread[2 * LIST + LENGTH..][..4].copy_from_slice(&length.to_le_bytes());
            thread[NEIGHBOURS as usize..][..8].copy_from_slice(&other.to_le_bytes());
            fake = fake.with(at, thread);
        }
        (fake, vec![Data { start: AT, words }])
    }

    #[test]
    fn objects_that_wait_are_counted_wherever_they_are() {
        let (mut fake, data) = memory();
        let caches = locate(&mut fake, &data).unwrap();
        assert_eq!(caches.threads, [THREADS[0]]);
        let held = caches.count(&mut fake).unwrap();
        assert_eq!(held, Held { central: (7 + 2 * 32) * 48 + 5 * (8192 % 48), threads: 11 * 16 });
    }

    #[test]
    fn without_a_list_for_each_class_nothing_is_said() {
        let (mut fake, mut data) = memory();
        data[0].words[(0x2000 + 9 * CENTRAL) / 8 + 1] = 7;
        assert!(locate(&mut fake, &data).is_none());
    }
}
