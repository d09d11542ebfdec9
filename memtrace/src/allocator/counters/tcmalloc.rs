//! The page heap of gperftools' tcmalloc: what `MallocExtension` says of it.
//!
//! Input: a process with gperftools in it. Output: its page heap's bytes. Found by eleven words whose sums have to
//! agree. What its central lists and thread caches hold is not told: it counts as in use.

use super::{Absent, ArenaCounters, CounterReader, Counters, Target, data};
use crate::{
    allocator::evidence::{Mark, ProcessEvidence},
    units::{Bytes, Grade},
};

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
        let mut found: Vec<Stats> = data
            .iter()
            .flat_map(data::Data::suffixes)
            .filter_map(|(_, words)| Stats::of(words.first_chunk()?))
            .collect();
        let stats = found.pop().ok_or_else(|| self.absent("its statistics were not found in its data"))?;
        if !found.is_empty() {
            return Err(self.absent(format!("{} places look like its statistics", found.len() + 1)));
        }
        let resident: u64 = {
            let ranges: Vec<_> = target.ranges_of(NAME).map(|owned| (owned.start, owned.end)).collect();
            ranges.iter().map(|(start, end)| target.image.resident(*start, *end)).sum()
        };
        let in_use = stats.system - stats.free - stats.unmapped;
        Ok(Counters {
            allocator: NAME.to_owned(),
            version: Some("gperftools".to_owned()),
            allocated_bytes: Some(Bytes(in_use)),
            // Spans that were never touched are free too, and not resident.
            free_resident_bytes: Some(Bytes(stats.free.min(resident))),
            lazily_freed_bytes: Some(Bytes(0)),
            retained_bytes: Some(Bytes(stats.unmapped)),
            arenas: vec![ArenaCounters {
                name: "page heap".to_owned(),
                allocated_bytes: Some(Bytes(in_use)),
                free_resident_bytes: Some(Bytes(stats.free.min(resident))),
                system_bytes: Some(Bytes(stats.system)),
            }],
            grade: Grade::Read,
            missing: vec!["what thread and central caches hold: it counts as in use".to_owned()],
            ..Counters::default()
        })
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
    /// system, free, unmapped, committed, scavenges, commits, total commit, decommits, total decommit, reserves, total
    /// reserve.
    fn of(words: &[u64; 11]) -> Option<Self> {
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

    use super::{
        super::{any, fake},
        *,
    };

    /// As a 2.10 wrote them, after 90 MiB of 110 were freed.
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
            any::holds(&Gperftools, memory);
        }
    }
}
