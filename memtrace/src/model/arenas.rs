//! Owned ranges summed up to rows: one for each allocator and kind of use.
//!
//! Input: an address space, its owners, and what was measured of each. Output: [`Row`]s, largest first. Pure.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use crate::{
    allocator::{Owned, counters::Reading},
    mm::{
        address_space::{AddressSpace, Stale},
        gauge::Gauge,
        growth::StackGrowth,
        residency::{Closing, Residency},
    },
    units::{Bytes, Grade},
};

/// What an allocator holds for one use in one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Name of the allocator.
    pub allocator: &'static str,
    /// What for.
    pub kind: &'static str,
    /// How many arenas.
    pub arenas: usize,
    /// Mapped.
    pub mapped: Bytes,
    /// Resident.
    pub resident: Bytes,
    /// The part of it that was given back with `MADV_FREE`.
    pub lazy_free: Bytes,
    /// Swapped out.
    pub swapped: Bytes,
    /// Resident, shared pages divided; `None` when not all of it is known.
    pub pss: Option<Bytes>,
    /// The worst grade of what is in it: of the bytes and of the owner.
    pub grade: Grade,
}

/// The arenas of one process, and what belongs to the picture.
pub struct Arenas<'a> {
    /// Largest first.
    pub rows: &'a [Row],
    /// Their sum beside the kernel's.
    pub closing: Closing,
    /// Why they are not to be trusted, if they are not.
    pub stale: Option<Stale>,
    /// When page tables were read last.
    pub scanned_at: Option<u64>,
    /// Pages that the faults sampled since then stand for.
    pub sampled: u64,
    /// Resident bytes of each row over time.
    pub gauges: &'a Gauges,
    /// Growth by call stack.
    pub stacks: &'a StackGrowth,
    /// For the modules of addresses.
    pub space: &'a AddressSpace,
    /// What the allocators' own counters said when they were read last.
    pub reading: Option<&'a Reading>,
}

/// Figures over time, by allocator and kind.
pub type Gauges = Vec<((&'static str, &'static str), Gauge)>;

/// Bytes that ranges were measured to hold, by their start and end.
pub type Split = HashMap<(u64, u64), u64>;

/// What was measured of the ranges of one region, all of them.
fn measured(ranges: &[Owned], split: &Split) -> Option<u64> {
    let mut parts = ranges.iter().map(|range| split.get(&(range.start, range.end)));
    parts.try_fold(0_u64, |sum, part| Some(sum.saturating_add(*part?))).filter(|sum| *sum > 0)
}

/// Resident bytes that are shared out by length, because nobody measured what each range holds.
pub fn unmeasured(space: &AddressSpace, owned: &[Owned], split: &Split) -> u64 {
    let shared = owned.chunk_by(|a, b| a.region == b.region).filter(|ranges| ranges.len() > 1);
    let open = shared.filter(|ranges| measured(ranges, split).is_none());
    let held = open.filter_map(|ranges| space.at(ranges.first()?.start)?.1);
    held.map(|held| held.resident.0).fold(0, u64::saturating_add)
}

/// Sums the ranges up. A region of several owners is shared out as its ranges were measured, else by their length.
pub fn rows(space: &AddressSpace, owned: &[Owned], split: &Split) -> Vec<Row> {
    let mut rows: HashMap<(&str, &str), (Row, HashSet<u64>)> = HashMap::new();
    let mut regions = space.iter().peekable();
    let by_region = owned.chunk_by(|a, b| a.region == b.region);
    let ranges = by_region.flat_map(|ranges| {
        let sum = if ranges.len() > 1 { measured(ranges, split) } else { None };
        let mut before = 0_u64;
        ranges.iter().map(move |range| {
            let own = split.get(&(range.start, range.end)).copied().unwrap_or(0);
            let first = before;
            before = before.saturating_add(own);
            (range, sum.map(|sum| (first..before, sum)))
        })
    });
    for (range, share) in ranges {
        while regions.peek().is_some_and(|(region, _)| region.end <= range.start) {
            regions.next();
        }
        let Some((region, held)) = regions.peek() else { break };
        // The owners may be a moment older than the regions.
        let (start, end) = (range.start.max(region.start), range.end.min(region.end));
        if start >= end {
            continue;
        }
        let is_all = (start, end) == (range.start, range.end);
        let share = share.filter(|_| is_all);
        let is_measured = share.is_some();
        let (own, all) = share.unwrap_or((start - region.start..end - region.start, region.len()));
        let share = |bytes: Bytes| part(bytes, &own, all);
        let owner = &range.owner;
        let new = || {
            let row = Row {
                allocator: owner.allocator,
                kind: owner.kind,
                arenas: 0,
                mapped: Bytes::default(),
                resident: Bytes::default(),
                lazy_free: Bytes::default(),
                swapped: Bytes::default(),
                pss: Some(Bytes::default()),
                grade: Grade::Read,
            };
            (row, HashSet::new())
        };
        let (row, arenas) = rows.entry((owner.allocator, owner.kind)).or_insert_with(new);
        arenas.insert(owner.arena);
        row.mapped.0 += end - start;
        let Some(Residency { resident, lazy_free, swapped, pss, grade, measured_at: _ }) = held else {
            continue;
        };
        if region.is_hugetlb {
            continue; // no RSS counts it
        }
        let is_whole = (start, end) == (region.start, region.end);
        row.resident.0 += share(*resident).0;
        row.lazy_free.0 += share(*lazy_free).0;
        row.swapped.0 += share(*swapped).0;
        row.pss = row.pss.zip(*pss).map(|(sum, pss)| Bytes(sum.0 + share(pss).0));
        if resident.0 > 0 {
            let by_length = if is_whole || is_measured { Grade::Read } else { Grade::Inferred };
            row.grade = worst([row.grade, *grade, by_length, owner.grade]);
        }
    }
    let mut rows: Vec<Row> =
        rows.into_values().map(|(row, arenas)| Row { arenas: arenas.len(), ..row }).collect();
    rows.sort_by_key(|row| (std::cmp::Reverse((row.resident, row.mapped)), row.allocator, row.kind));
    rows
}

/// What of the bytes falls on a part of the whole: all parts together get all of them.
fn part(bytes: Bytes, part: &Range<u64>, all: u64) -> Bytes {
    let until = |end: u64| {
        let product = u128::from(bytes.0) * u128::from(end.min(all));
        product.checked_div(u128::from(all)).map_or(0, |part| u64::try_from(part).unwrap_or(bytes.0))
    };
    Bytes(until(part.end).saturating_sub(until(part.start)))
}

fn worst<const N: usize>(grades: [Grade; N]) -> Grade {
    let rank = |grade: &Grade| match grade {
        Grade::Read => 0,
        Grade::Measured => 1,
        Grade::Sampled => 2,
        Grade::Inferred => 3,
    };
    grades.into_iter().max_by_key(rank).unwrap_or(Grade::Inferred)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However a region is cut into ranges, what is said of them is what is said of it.
        #[test]
        fn parts_add_up(bytes in 0..1_u64 << 46, lens in prop::collection::vec(1..1_u64 << 30, 1..9)) {
            let all = lens.iter().sum();
            let mut at = 0;
            let parts = lens.into_iter().map(|len| {
                at += len;
                part(Bytes(bytes), &(at - len..at), all).0
            });
            prop_assert_eq!(parts.sum::<u64>(), bytes);
        }
    }
}
