//! gperftools' tcmalloc: the figures of `MallocExtension`.
//!
//! Input: a process with gperftools. Output: bytes in use, and free ones in the page heap, central lists and thread
//! caches. The page heap is recognised by eleven words whose sums must agree.

use crate::{
    allocator::{
        counters::{Absent, ArenaCounters, CounterReader, Counters, Target, data, error_bound},
        evidence::{Mark, ProcessEvidence},
        image::Image,
    },
    units::{Bytes, Grade},
};

mod caches;

use caches::{Caches, Held};

const NAME: &str = "tcmalloc";
/// The smallest page of its page heap (`TCMALLOC_PAGE_SIZE_SHIFT` 12).
const SMALLEST_PAGE: u64 = 4 << 10;

/// The reader.
pub struct Gperftools;

impl CounterReader for Gperftools {
    fn name(&self) -> &'static str {
        NAME
    }

    fn applies(&self, process: &ProcessEvidence) -> bool {
        process.has(Mark::Gperftools)
    }

    fn read(&self, target: &mut Target<'_>) -> Result<Counters, Absent> {
        let data = data::of(target, Mark::Gperftools);
        let mut found: Vec<(u64, Stats)> = data
            .iter()
            .flat_map(data::Data::suffixes)
            .filter_map(|(at, words)| Some((at, Stats::of(words.first_chunk()?)?)))
            .collect();
        let (at, stats) =
            found.pop().ok_or_else(|| self.absent("its statistics were not found in its data"))?;
        if !found.is_empty() {
            return Err(self.absent(format!("{} places look like its statistics", found.len() + 1)));
        }
        let ranges: Vec<_> = target.ranges_of(NAME).map(|owned| (owned.start, owned.end)).collect();
        let resident: u64 = ranges.iter().map(|(start, end)| target.image.resident(*start, *end)).sum();
        let caches = caches::locate(target.image, &data);
        let books = books(target.image, &stats, caches.as_ref());
        let (books, bound) = match books {
            Some(books) => {
                let again = Stats::at(target.image, at).and_then(|stats| {
                    self::books(target.image, &stats, caches.as_ref()).map(|books| books.in_use)
                });
                let bound = error_bound::bound_between(books.in_use, again);
                (books, Some(bound))
            }
            None => (Books { in_use: stats.pages_in_use(), held: Held::default() }, None),
        };
        Ok(counters(&stats, &books, resident, bound))
    }
}

/// The bytes in use and the free ones.
struct Books {
    in_use: u64,
    held: Held,
}

/// Computes the books; `caches` is `None` when they are not known, and then they count as in use.
fn books(image: &mut dyn Image, stats: &Stats, caches: Option<&Caches>) -> Option<Books> {
    let held = caches?.count(image)?;
    let in_use = stats.pages_in_use().checked_sub(held.central.checked_add(held.threads)?)?;
    Some(Books { in_use, held })
}

fn counters(stats: &Stats, books: &Books, resident: u64, bound: Option<Bytes>) -> Counters {
    let Books { in_use, held } = books;
    // Spans that were never touched are also free, but not resident.
    let free = stats.free.min(resident);
    let cached = held.central + held.threads;
    let row = |name: &str, allocated, free, system: Option<u64>| ArenaCounters {
        name: name.to_owned(),
        allocated_bytes: allocated,
        free_resident_bytes: Some(Bytes(free)),
        system_bytes: system.map(Bytes),
    };
    let mut arenas = vec![row("page heap", Some(Bytes(*in_use)), free, Some(stats.system))];
    let mut missing = Vec::new();
    if bound.is_some() {
        arenas.push(row("central lists", None, held.central, None));
        arenas.push(row("thread caches", None, held.threads, None));
    } else {
        missing
            .push("thread and central caches (not readable in this version): counted as in use".to_owned());
    }
    Counters {
        allocator: NAME.to_owned(),
        version: Some("gperftools".to_owned()),
        allocated_bytes: Some(Bytes(*in_use)),
        free_resident_bytes: Some(Bytes(free.saturating_add(cached).min(resident))),
        lazily_freed_bytes: Some(Bytes(0)),
        retained_bytes: Some(Bytes(stats.unmapped)),
        error_bytes: bound,
        arenas,
        grade: if bound.is_some() { Grade::Read } else { Grade::Inferred },
        missing,
        ..Counters::default()
    }
}

/// `PageHeap::Stats`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stats {
    system: u64,
    free: u64,
    unmapped: u64,
}

impl Stats {
    const WORDS: usize = 11;

    /// The current statistics at an address.
    fn at(image: &mut dyn Image, at: u64) -> Option<Self> {
        let mut bytes = [0; Self::WORDS * 8];
        image.read(at, &mut bytes).then_some(())?;
        let mut words = [0; Self::WORDS];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        Self::of(&words)
    }

    /// Bytes of pages outside the page heap's free lists.
    const fn pages_in_use(&self) -> u64 {
        self.system - self.free - self.unmapped
    }

    /// system, free, unmapped, committed, scavenges, commits, total commit, decommits, total decommit, reserves, total
    /// reserve.
    fn of(words: &[u64; Self::WORDS]) -> Option<Self> {
        let [
            system,
            free,
            unmapped,
            committed,
            _,
            commits,
            all_committed,
            decommits,
            all_decommitted,
            reserves,
            all_reserved,
        ] = *words;
        let fits = system > 0
            && system < 1 << 47
            && system.is_multiple_of(SMALLEST_PAGE)
            && free.is_multiple_of(SMALLEST_PAGE)
            && unmapped.is_multiple_of(SMALLEST_PAGE)
            && all_reserved == system
            && all_committed.checked_sub(all_decommitted) == Some(committed)
            && committed <= system
            && free.checked_add(unmapped).is_some_and(|idle| idle <= system)
            && (1..=system / SMALLEST_PAGE).contains(&reserves)
            && commits > 0
            && commits <= all_committed / SMALLEST_PAGE
            && decommits <= all_decommitted / SMALLEST_PAGE
            && (decommits == 0) == (all_decommitted == 0);
        fits.then_some(Self { system, free, unmapped })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::allocator::{counters::conformance, image::fake};

    /// Written by version 2.10 after 90 of 110 MiB were freed.
    const WORDS: [u64; 11] = [
        115_343_360,
        20_979_712,
        73_728_000,
        41_615_360,
        0,
        110,
        115_343_360,
        31,
        73_728_000,
        110,
        115_343_360,
    ];

    #[test]
    fn sums_that_agree_are_statistics_and_no_others() {
        assert_eq!(
            Stats::of(&WORDS),
            Some(Stats { system: 115_343_360, free: 20_979_712, unmapped: 73_728_000 })
        );
        for at in [0, 1, 3, 5, 6, 7, 8, 9, 10] {
            let mut words = WORDS;
            words[at] = words[at].wrapping_mul(2).wrapping_add(4096 * 115_343_360);
            assert_eq!(Stats::of(&words), None, "{at}");
        }
        assert_eq!(Stats::of(&[0; 11]), None);
    }

    proptest! {
        #[test]
        fn any_memory_is_read_to_an_end(memory in fake::memory()) {
            conformance::holds(&Gperftools, memory, &fake::NO_FILES).ok();
        }
    }
}
