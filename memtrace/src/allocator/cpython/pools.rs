//! The pools of obmalloc's arenas: where they are, and their headers.
//!
//! Input: arenas and an image. Output: addresses of pools in an order whose every prefix is evenly spread, and the words
//! of their headers. Must not interpret the blocks in a pool.

use crate::allocator::{counters::sampling, evidence::content, image::Image};

/// `struct pool_header`.
pub const HEADER: usize = 48;
/// The words of a header.
pub type Header = [u64; HEADER / 8];

/// Pools that are read to determine their size.
const GUESSES: usize = 256;
/// The most pools that are read, 4 GiB: no budget allows more.
pub const MOST_POOLS: usize = 1 << 18;
/// Headers that are read at once.
const AT_ONCE: usize = 128;

/// The pools of all arenas.
#[derive(Clone, Debug)]
pub struct Pools {
    /// Bytes of a pool.
    pub size: u64,
    /// The number of pools.
    pub count: u64,
    /// The first pool of each arena, and the number of its pools.
    arenas: Vec<(u64, u64)>,
}

impl Pools {
    fn of(arenas: &[(u64, u64)], size: u64) -> Self {
        let pools = |(start, end): &(u64, u64)| {
            let first = start.next_multiple_of(size);
            (first, (end.saturating_sub(first) / size).min(1 << 20))
        };
        let arenas: Vec<(u64, u64)> = arenas.iter().map(pools).collect();
        let count = arenas.iter().map(|(_, count)| count).sum();
        Self { size, arenas, count }
    }

    /// The pools of these arenas, of the size of which more are found. Takes a quarter of the budget at most: a
    /// few pools are enough to decide.
    pub fn guess(image: &mut dyn Image, arenas: &[(u64, u64)]) -> Option<Self> {
        let budget = image.left();
        let [new, old] = content::POOLS.map(|size| Self::of(arenas, size));
        let guesses = [(new, budget / 8 * 7), (old, budget / 4 * 3)].map(|(pools, end)| {
            let places: Vec<u64> = pools.places().take(GUESSES).collect();
            let headers = pools.headers(image, &places, end);
            let all = headers.iter().flatten().count() as u128 * u128::from(pools.count);
            (all * u128::from(pools.size) / headers.len().max(1) as u128, pools)
        });
        guesses.into_iter().max_by_key(|(bytes, _)| *bytes).map(|(_, pools)| pools)
    }

    /// The addresses of all pools, in an order whose every prefix is evenly spread.
    pub fn places(&self) -> impl Iterator<Item = u64> {
        let mut ends: Vec<(u64, u64, u64)> = Vec::with_capacity(self.arenas.len());
        let mut before = 0;
        for (first, count) in &self.arenas {
            ends.push((before + count, before, *first));
            before += count;
        }
        sampling::order(self.count).filter_map(move |number| {
            let arena = ends.partition_point(|(end, ..)| *end <= number);
            let (_, before, first) = ends.get(arena)?;
            Some(first + (number - before) * self.size)
        })
    }

    /// The bytes in use of the pool with this header; `None` if it is no pool.
    pub fn used(&self, at: u64, header: Header) -> Option<u64> {
        content::in_pool(at, header, self.size)
    }

    /// The headers of these pools; `None` for what cannot be read or is no pool. Stops when only `end` of the budget is
    /// left.
    pub fn headers(&self, image: &mut dyn Image, places: &[u64], end: u64) -> Vec<Option<Header>> {
        let mut headers = Vec::with_capacity(places.len());
        let mut buffer = vec![0; AT_ONCE * HEADER];
        for batch in places.chunks(AT_ONCE) {
            if image.left() <= end {
                break;
            }
            // Neighbours share a query of the page tables.
            let mut batch: Vec<(usize, u64)> = batch.iter().copied().enumerate().collect();
            batch.sort_unstable_by_key(|(_, place)| *place);
            let sorted: Vec<u64> = batch.iter().map(|(_, place)| *place).collect();
            let read = image.read_each(&sorted, HEADER, &mut buffer);
            if image.is_spent() {
                break;
            }
            let mut found = vec![None; batch.len()];
            for (((at, place), bytes), is_read) in batch.iter().zip(buffer.as_chunks::<HEADER>().0).zip(read)
            {
                let header =
                    Some(words(bytes)).filter(|header| is_read && self.used(*place, *header).is_some());
                found.iter_mut().skip(*at).take(1).for_each(|value| *value = header);
            }
            headers.extend(found);
        }
        headers
    }
}

/// The words of a header.
pub fn words(bytes: &[u8; HEADER]) -> Header {
    let mut words = [0; HEADER / 8];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    words
}
