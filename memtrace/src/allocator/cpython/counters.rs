//! The counters of CPython's obmalloc: what `sys._debugmallocstats()` would say of its pools.
//!
//! Input: the arenas of a process. Output: allocated and free bytes; exact at rest, and sampled where there are too many.
//! Every pool begins with a header that says how many of its blocks are in use. What is larger than 512 bytes comes from
//! malloc and is counted there.

use crate::{
    allocator::{
        counters::{Absent, CounterReader, Counters, Target, error_bound, sampling},
        evidence::{Mark, ProcessEvidence, content},
    },
    units::{Bytes, Grade},
};

const NAME: &str = "cpython";
/// `struct pool_header`.
const HEADER: usize = 48;

/// Pools that are looked at to tell their size.
const GUESSES: u64 = 1024;
/// What a header costs of the budget: it is not its bytes that take the time.
const EACH: u64 = 3 << 10;

/// The reader.
pub struct Cpython;

impl CounterReader for Cpython {
    fn name(&self) -> &'static str {
        NAME
    }

    fn applies(&self, process: &ProcessEvidence) -> bool {
        process.has(Mark::Cpython)
    }

    fn read(&self, target: &mut Target<'_>) -> Result<Counters, Absent> {
        let arenas: Vec<(u64, u64)> = target.ranges_of(NAME).map(|owned| (owned.start, owned.end)).collect();
        let each = content::POOLS.map(|pool| (Sums::of(target, &arenas, pool, GUESSES), pool));
        let best = each.into_iter().max_by_key(|(sums, pool)| sums.pools.saturating_mul(*pool));
        let Some((_, pool)) = best else {
            return Err(self.absent("no size of pools is known"));
        };
        // Twice, and the second time what the first one left.
        let most = target.image.left() / EACH / 2;
        let sums = Sums::of(target, &arenas, pool, most);
        if target.image.is_spent() {
            return Err(self.absent("there are more pools than the budget of a reading"));
        }
        if sums.pools == 0 {
            return Err(self.absent("none of its arenas has a pool that could be read"));
        }
        let again = Sums::of(target, &arenas, pool, most);
        let moved = error_bound::bound_between(sums.allocated, Some(again.allocated));
        let mapped: u64 = arenas.iter().map(|(start, end)| end - start).sum();
        let resident: u64 = arenas.iter().map(|(start, end)| target.image.resident(*start, *end)).sum();
        let used = sums.allocated + sums.pools * HEADER as u64;
        Ok(Counters {
            allocator: NAME.to_owned(),
            version: Some(if pool == content::POOLS[0] { "3.10+" } else { "3.9-" }.to_owned()),
            allocated_bytes: Some(Bytes(sums.allocated)),
            free_resident_bytes: Some(Bytes(resident.saturating_sub(used))),
            lazily_freed_bytes: Some(Bytes(0)),
            retained_bytes: Some(Bytes(mapped.saturating_sub(resident))),
            metadata_bytes: Some(Bytes(sums.pools * HEADER as u64)),
            error_bytes: Some(Bytes(moved.0.saturating_add(sums.off))),
            grade: Grade::Read,
            ..Counters::default()
        })
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    pools: u64,
    allocated: u64,
    /// How far that may be off, because not all were looked at: twice the standard error.
    off: u64,
}

impl Sums {
    /// Of all pools of this size; of so many of them, evenly spread, when there are more.
    fn of(target: &mut Target<'_>, arenas: &[(u64, u64)], pool: u64, most: u64) -> Self {
        /// Headers that are read at once.
        const AT_ONCE: usize = 1024;
        let firsts = arenas.iter().map(|(start, end)| {
            let first = start.next_multiple_of(pool);
            (first, (end.saturating_sub(first) / pool).min(1 << 20))
        });
        let all: u64 = firsts.clone().map(|(_, count)| count).sum();
        let one_in = all.div_ceil(most.max(1));
        let places = firsts.flat_map(|(first, count)| (0..count).map(move |at| first + at * pool));
        let is_one = |(at, _): &(u64, u64)| sampling::is_one_in(*at, one_in);
        let places: Vec<u64> = (0..).zip(places).filter(is_one).map(|(_, place)| place).collect();
        let (mut pools, mut sum, mut squares) = (0_u64, 0_u64, 0_f64);
        let mut buffer = vec![0; AT_ONCE * HEADER];
        for places in places.chunks(AT_ONCE) {
            let read = target.image.read_each(places, HEADER, &mut buffer);
            for ((at, bytes), is_read) in places.iter().zip(buffer.as_chunks::<HEADER>().0).zip(read) {
                let mut words = [0; HEADER / 8];
                for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
                    *word = u64::from_le_bytes(*bytes);
                }
                if is_read && let Some(allocated) = content::in_pool(*at, words, pool) {
                    pools += 1;
                    sum += allocated;
                    squares += (allocated as f64).powi(2);
                }
            }
        }
        let seen = places.len() as u64;
        if seen == all || seen == 0 {
            return Self { pools, allocated: sum, off: 0 };
        }
        let scale = all as f64 / seen as f64;
        let spread = (squares - (sum as f64).powi(2) / seen as f64).max(0.0).sqrt();
        let scaled = |figure: u64| (figure as f64 * scale) as u64;
        Self { pools: scaled(pools), allocated: scaled(sum), off: (2.0 * spread * scale) as u64 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::allocator::{
        counters::conformance,
        image::fake::{self, Fake},
    };

    proptest! {
        #[test]
        fn any_memory_is_read_to_an_end(memory in fake::memory()) {
            conformance::holds(&Cpython, memory, &fake::NO_FILES).ok();
        }

        /// The same where pools look like pools.
        #[test]
        fn any_pools_are_read_to_an_end(pools in prop::collection::vec((any::<u32>(), 0..40_u64, any::<u32>()), 16)) {
            let at = 0x7f00_0000_0000;
            let words = pools.iter().flat_map(|(count, class, offset)| {
                let mut pool = vec![u64::from(*count), at, at, at, class << 32];
                pool.push((16384_u64.wrapping_sub((class + 1) * 16)) << 32 | u64::from(*offset % 20000));
                pool.resize(2048, 0);
                pool
            });
            let words: Vec<u64> = words.collect();
            conformance::holds(&Cpython, Fake::default().with_words(at, &words), &fake::NO_FILES).ok();
        }
    }
}
