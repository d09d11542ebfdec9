//! The counters of CPython's obmalloc: what `sys._debugmallocstats()` would say of its pools.
//!
//! Input: the arenas of a process. Output: allocated and free bytes; exact at rest. Every pool begins with a header that
//! says how many of its blocks are in use. What is larger than 512 bytes comes from malloc and is counted there.

use super::{Absent, CounterReader, Counters, Target, motion};
use crate::{
    allocator::evidence::{Mark, ProcessEvidence, content},
    units::{Bytes, Grade},
};

const NAME: &str = "cpython";
/// `struct pool_header`.
const HEADER: usize = 48;

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
        let sizes = content::POOLS;
        let each = sizes.map(|pool| Sums::of(target, &arenas, pool));
        let Some((sums, pool)) =
            each.into_iter().zip(sizes).max_by_key(|(sums, pool)| sums.pools.saturating_mul(*pool))
        else {
            return Err(self.absent("no size of pools is known"));
        };
        if sums.pools == 0 {
            return Err(self.absent("none of its arenas has a pool that could be read"));
        }
        if target.image.is_spent() {
            return Err(self.absent("there are more pools than the budget of a reading"));
        }
        let again = Sums::of(target, &arenas, pool);
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
            error_bytes: Some(motion::bound_between(sums.allocated, Some(again.allocated))),
            grade: Grade::Read,
            ..Counters::default()
        })
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    pools: u64,
    allocated: u64,
}

impl Sums {
    /// Of all pools of this size.
    fn of(target: &mut Target<'_>, arenas: &[(u64, u64)], pool: u64) -> Self {
        /// Headers that are read at once.
        const AT_ONCE: usize = 1024;
        let mut sums = Self::default();
        let mut buffer = vec![0; AT_ONCE * HEADER];
        for (start, end) in arenas {
            let first = start.next_multiple_of(pool);
            let count = end.saturating_sub(first) / pool;
            let pools: Vec<u64> = (0..count.min(1 << 20)).map(|at| first + at * pool).collect();
            for pools in pools.chunks(AT_ONCE) {
                let read = target.image.read_each(pools, HEADER, &mut buffer);
                for ((at, bytes), is_read) in pools.iter().zip(buffer.as_chunks::<HEADER>().0).zip(read) {
                    let mut words = [0; HEADER / 8];
                    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
                        *word = u64::from_le_bytes(*bytes);
                    }
                    if is_read && let Some(allocated) = content::in_pool(*at, words, pool) {
                        sums.pools += 1;
                        sums.allocated += allocated;
                    }
                }
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{any, fake},
        *,
    };
    use crate::allocator::counters::fake::Fake;

    proptest! {
        #[test]
        fn any_memory_is_read_to_an_end(memory in fake::memory()) {
            any::holds(&Cpython, memory, &fake::NO_FILES).ok();
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
            any::holds(&Cpython, Fake::default().with_words(at, &words), &fake::NO_FILES).ok();
        }
    }
}
