//! Sums owned ranges to rows: one for each allocator and kind of use.
//!
//! Input: an address space, its owners, and measurements of ranges. Output: [`Row`]s, largest first. Pure.

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

/// The memory of an allocator for one use in one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Name of the allocator.
    pub allocator: &'static str,
    /// The kind of use.
    pub kind: &'static str,
    /// Number of arenas.
    pub arenas: usize,
    /// Mapped.
    pub mapped: Bytes,
    /// Resident.
    pub resident: Bytes,
    /// The part of `resident` that was given back with `MADV_FREE`.
    pub lazy_free: Bytes,
    /// Swapped out.
    pub swapped: Bytes,
    /// PSS; `None` when it is not known for all ranges.
    pub pss: Option<Bytes>,
    /// The worst grade of its ranges, of bytes and owner.
    pub grade: Grade,
}

/// The arenas of one process, and the facts that belong to them.
pub struct Arenas<'a> {
    /// Largest first.
    pub rows: &'a [Row],
    /// Their sum compared with the kernel's.
    pub closing: Closing,
    /// Why they must not be trusted, if so.
    pub stale: Option<Stale>,
    /// Why the evidence on their owners is not complete, if so.
    pub unfinished: Option<&'a str>,
    /// When the page tables were last read.
    pub scanned_at: Option<u64>,
    /// Pages that the faults sampled since the last scan stand for.
    pub sampled: u64,
    /// Resident bytes of each row over time.
    pub gauges: &'a Gauges,
    /// Growth by call stack.
    pub stacks: &'a StackGrowth,
    /// The address space, to look up modules.
    pub space: &'a AddressSpace,
    /// The last reading of the allocators' own counters.
    pub reading: Option<&'a Reading>,
}

/// Gauges by allocator and kind.
pub type Gauges = Vec<((&'static str, &'static str), Gauge)>;

/// Measured resident bytes of ranges, by start and end.
pub type Split = HashMap<(u64, u64), u64>;

/// The measured bytes of one region's ranges; `None` unless all were measured.
fn measured(ranges: &[Owned], split: &Split) -> Option<u64> {
    let mut parts = ranges.iter().map(|range| split.get(&(range.start, range.end)));
    parts.try_fold(0_u64, |sum, part| Some(sum.saturating_add(*part?))).filter(|sum| *sum > 0)
}

/// Resident bytes that are divided by length, because the ranges were not measured.
pub fn unmeasured(space: &AddressSpace, owned: &[Owned], split: &Split) -> u64 {
    let shared = owned.chunk_by(|a, b| a.region == b.region).filter(|ranges| ranges.len() > 1);
    let open = shared.filter(|ranges| measured(ranges, split).is_none());
    let held = open.filter_map(|ranges| space.at(ranges.first()?.start)?.1);
    held.map(|held| held.resident.0).fold(0, u64::saturating_add)
}

/// Sums the ranges. The bytes of a region with several owners are divided by the measurements of its ranges, else by
/// their length.
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
        // The owners may be slightly older than the regions.
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
            continue; // RSS does not count it
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

/// The share of `bytes` for a part of the whole. The shares of all parts add up to `bytes`.
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
        /// However a region is split into ranges, their figures add up to the region's.
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
