//! The counters of CPython's obmalloc: the figures that `sys._debugmallocstats()` prints for its pools.
//!
//! Input: the arenas of a process. Output: allocated and free bytes; exact at rest, and sampled when there is no time
//! for all pools. Every pool begins with a header that counts its blocks in use. Objects larger than 512 bytes come
//! from malloc and are counted there.

use super::pools::{HEADER, MOST_POOLS, Pools};
use crate::{
    allocator::{
        counters::{Absent, CounterReader, Counters, Target, error_bound, sampling, sampling::Sample},
        evidence::{Mark, ProcessEvidence, content},
        image::Image,
    },
    units::{Bytes, Grade},
};

const NAME: &str = "cpython";

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
        let budget = target.image.left();
        let Some(pools) = Pools::guess(target.image, &arenas) else {
            return Err(self.absent("no known pool size fits"));
        };
        let places: Vec<u64> = pools.places().take(MOST_POOLS).collect();
        let first = look(&pools, target.image, &places, budget / 16 * 7);
        let counted = sum(&first);
        if counted.seen == 0 {
            return Err(self.absent(if first.len() < places.len() {
                "the time limit was reached before a pool was read"
            } else {
                "none of its arenas has a pool that could be read"
            }));
        }
        // Read twice, the second time as many as there is time for.
        let again = look(&pools, target.image, places.get(..first.len()).unwrap_or_default(), budget / 8);
        let sums = Sums::of(&pools, &first, &again);
        let mapped: u64 = arenas.iter().map(|(start, end)| end - start).sum();
        let resident = sampling::resident(target.image, &arenas);
        Ok(sums.counters(&pools, mapped, resident))
    }
}

/// The bytes in use of each pool; `None` for what is no pool. Stops when only `end` of the budget is left.
fn look(pools: &Pools, image: &mut dyn Image, places: &[u64], end: u64) -> Vec<Option<u64>> {
    let headers = pools.headers(image, places, end);
    headers.iter().zip(places).map(|(header, at)| pools.used(*at, (*header)?)).collect()
}

/// Those that are pools.
fn sum(values: &[Option<u64>]) -> Sample {
    let mut sample = Sample::default();
    values.iter().flatten().for_each(|value| sample.add(*value));
    sample
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    pools: u64,
    allocated: u64,
    /// The error, because not all were read and because they changed meanwhile.
    off: u64,
    is_sampled: bool,
}

impl Sums {
    /// From the first reading of pools, and the second reading of some of them.
    fn of(pools: &Pools, first: &[Option<u64>], again: &[Option<u64>]) -> Self {
        let mut all = Sample::default();
        first.iter().for_each(|value| all.add(value.unwrap_or(0)));
        let (allocated, off) = all.of_all(pools.count, pools.size).unwrap_or((all.sum, u64::MAX));
        let scaled = |part: u64, seen: usize| {
            let part = u128::from(part) * u128::from(pools.count) / (seen.max(1) as u128);
            u64::try_from(part).unwrap_or(u64::MAX)
        };
        let pairs = first.iter().zip(again);
        let changed = pairs.clone().filter(|(first, again)| first != again).count();
        let sum = |values: &[Option<u64>]| {
            values.iter().take(again.len()).flatten().fold(0, |sum: u64, value| sum.saturating_add(*value))
        };
        let moved = scaled(sum(first).abs_diff(sum(again)), again.len()).saturating_mul(2).min(allocated);
        let bound =
            error_bound::bound(allocated, off.saturating_add(moved), changed == 0 && !again.is_empty());
        Self {
            pools: scaled(first.iter().flatten().count() as u64, first.len()),
            allocated,
            off: bound.0,
            is_sampled: (first.len() as u64) < pools.count,
        }
    }

    fn counters(self, pools: &Pools, mapped: u64, resident: Option<(u64, bool)>) -> Counters {
        let used = self.allocated + self.pools * HEADER as u64;
        let missing = match resident {
            None => {
                vec!["how much of its arenas is resident: no time left to read the page tables".to_owned()]
            }
            Some(_) => Vec::new(),
        };
        let is_sampled = self.is_sampled || resident.is_some_and(|(_, is_whole)| !is_whole);
        let resident = resident.map(|(resident, _)| resident);
        Counters {
            allocator: NAME.to_owned(),
            version: Some(if pools.size == content::POOLS[0] { "3.10+" } else { "3.9-" }.to_owned()),
            allocated_bytes: Some(Bytes(self.allocated)),
            free_resident_bytes: resident.map(|resident| Bytes(resident.saturating_sub(used))),
            lazily_freed_bytes: Some(Bytes(0)),
            retained_bytes: resident.map(|resident| Bytes(mapped.saturating_sub(resident))),
            metadata_bytes: Some(Bytes(self.pools * HEADER as u64)),
            error_bytes: Some(Bytes(self.off)),
            grade: if is_sampled { Grade::Sampled } else { Grade::Read },
            missing,
            ..Counters::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::allocator::{Owned, Owner};
    use crate::allocator::{
        counters::conformance,
        image::fake::{self, Fake},
    };

    proptest! {
        #[test]
        fn any_memory_is_read_to_an_end(memory in fake::memory()) {
            conformance::holds(&Cpython, memory, &fake::NO_FILES).ok();
        }

        /// The same with pools that look valid.
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

    const AT: u64 = 0x7f00_0000_0000;
    const POOL: u64 = 16 << 10;

    /// Arenas whose first pools are full and whose last ones are nearly empty, and the bytes in use.
    fn process(pools: u64) -> (Fake, u64) {
        let (mut words, mut used) = (vec![0; (pools * POOL / 8) as usize], 0);
        for pool in 0..pools {
            let (at, count) = (AT + pool * POOL, 510 - pool * 500 / pools);
            let head = [count, at + 48, at, at, 1 << 32, (POOL - 32) << 32 | 4096];
            words[(pool * POOL / 8) as usize..][..6].copy_from_slice(&head);
            used += count * 32;
        }
        (Fake::default().with_words(AT, &words), used)
    }

    fn read(fake: &mut Fake, pools: u64) -> Result<Counters, Absent> {
        let (start, end) = (AT, AT + pools * POOL);
        let owned = [Owned { start, end, region: 0, owner: Owner::read(NAME, "obmalloc arena", 0) }];
        let process = ProcessEvidence::default();
        let mut target =
            Target { image: fake, files: &fake::NO_FILES, process: &process, regions: &[], owned: &owned };
        Cpython.read(&mut target)
    }

    #[test]
    fn with_enough_time_it_is_exact() {
        let (mut fake, used) = process(640);
        let counters = read(&mut fake, 640).unwrap();
        assert_eq!((counters.allocated_bytes, counters.error_bytes), (Some(Bytes(used)), Some(Bytes(0))));
        assert_eq!((counters.grade, counters.missing.len()), (Grade::Read, 0));
    }

    /// On slower and slower machines: as long as there are figures, the true value is within their bound.
    #[test]
    fn with_less_time_it_samples_and_the_bound_holds() {
        let (fake, used) = process(640);
        let (mut sampled, mut absent) = (0, 0);
        for each in (0..300).map(|step| step * 20) {
            let mut fake = fake.slowed(4 << 20, each);
            match read(&mut fake, 640) {
                Ok(counters) => {
                    let [read, off] =
                        [counters.allocated_bytes, counters.error_bytes].map(|bytes| bytes.unwrap().0);
                    assert!(read.abs_diff(used) <= off, "{each}: {read} of {used}, off by {off}");
                    sampled += u32::from(counters.grade == Grade::Sampled);
                }
                Err(_) => absent += 1,
            }
        }
        assert!(sampled > 50 && absent < 200, "{sampled} sampled, {absent} absent");
        assert!(read(&mut fake.slowed(0, 0), 640).unwrap_err().reason.contains("time"));
    }
}
