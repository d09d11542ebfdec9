//! mimalloc's counters, read from its arenas: blocks in use, resident free blocks and slices.
//!
//! Input: a process with mimalloc. Output: its bytes. Release builds keep no statistics, so pages are counted one by
//! one: version 3 has one table of page heads per arena, version 2 one per segment.

use crate::{
    allocator::{
        counters::{Absent, ArenaCounters, CounterReader, Counters, Target, error_bound},
        evidence::{Mark, ProcessEvidence},
        image::Image,
    },
    units::{Bytes, Grade},
};

mod arena;
mod segment;

const NAME: &str = "mimalloc";
/// `MI_ARENA_SLICE_SIZE`, `MI_SEGMENT_SLICE_SIZE`.
const SLICE: u64 = 64 << 10;
/// The most arenas of a process (`MI_MAX_ARENAS` is 160).
const MOST_ARENAS: usize = 1024;

/// The reader.
pub struct Mimalloc;

impl CounterReader for Mimalloc {
    fn name(&self) -> &'static str {
        NAME
    }

    fn applies(&self, process: &ProcessEvidence) -> bool {
        process.has(Mark::Mimalloc)
    }

    fn read(&self, target: &mut Target<'_>) -> Result<Counters, Absent> {
        let owned = target.ranges_of(NAME).map(|owned| (owned.start, owned.end));
        // Different flags split one arena into several ranges.
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for (start, end) in owned {
            match ranges.last_mut() {
                Some(last) if last.1 == start => last.1 = end,
                _ => ranges.push((start, end)),
            }
        }
        let (versions, arenas) = all_in(target.image, &ranges);
        if arenas.len() > MOST_ARENAS {
            return Err(self.absent("more arenas than it can have"));
        }
        let version = match *versions.as_slice() {
            _ if target.image.is_spent() => {
                return Err(self.absent("the time limit was reached before everything was counted"));
            }
            [] => return Err(self.absent("no arena has a known layout")),
            [version] => version,
            _ => return Err(self.absent("two versions match its layout")),
        };
        let (_, again) = all_in(target.image, &ranges);
        let bound = error_bound::bound_between(
            used(&arenas),
            Some(used(&again)).filter(|_| !target.image.is_spent()),
        );
        let resident = ranges.iter().map(|(start, end)| target.image.resident(*start, *end)).sum();
        let mapped = ranges.iter().map(|(start, end)| end - start).sum();
        Ok(counters(version, &arenas, resident, mapped, bound))
    }
}

/// The arenas of all ranges, and their versions.
fn all_in(image: &mut dyn Image, ranges: &[(u64, u64)]) -> (Vec<&'static str>, Vec<Tally>) {
    let mut arenas = Vec::new();
    let mut versions = Vec::new();
    for (start, end) in ranges {
        if let Some((version, found)) = arenas_in(image, *start, *end).filter(|_| arenas.len() <= MOST_ARENAS)
        {
            versions.push(version);
            arenas.extend(found);
        }
    }
    versions.sort_unstable();
    versions.dedup();
    (versions, arenas)
}

fn used(arenas: &[Tally]) -> u64 {
    arenas.iter().map(|arena| arena.used).fold(0, u64::saturating_add)
}

/// All arenas of a range of one or more mappings, with their version.
fn arenas_in(image: &mut dyn Image, start: u64, end: u64) -> Option<(&'static str, Vec<Tally>)> {
    let new = arena::all_in(image, start, end);
    if !new.is_empty() {
        return Some((arena::VERSIONS, new));
    }
    segment::all_in(image, start, end).map(|(version, tally)| (version, vec![tally]))
}

/// The sums of an arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    start: u64,
    /// All of it.
    bytes: u64,
    /// Bytes of blocks handed out.
    used: u64,
    /// Resident bytes outside these blocks.
    free: u64,
    /// Its own.
    metadata: u64,
}

impl Tally {
    /// Adds a page with `used` blocks in use. False when the values are impossible.
    fn page(&mut self, image: &mut dyn Image, span: (u64, u64), used: u64, block_size: u64) -> bool {
        let Some(bytes) = used.checked_mul(block_size) else { return false };
        if bytes > span.1.saturating_sub(span.0) {
            return false;
        }
        self.used = self.used.saturating_add(bytes);
        // Blocks handed out but not touched yet are not resident.
        self.free = self.free.saturating_add(image.resident(span.0, span.1).saturating_sub(bytes));
        true
    }
}

fn counters(version: &str, arenas: &[Tally], resident: u64, mapped: u64, bound: Bytes) -> Counters {
    let sum = |of: fn(&Tally) -> u64| Some(Bytes(arenas.iter().map(of).fold(0, u64::saturating_add)));
    let row = |(index, arena): (usize, &Tally)| ArenaCounters {
        name: format!("arena {index}"),
        allocated_bytes: Some(Bytes(arena.used)),
        free_resident_bytes: Some(Bytes(arena.free)),
        system_bytes: Some(Bytes(arena.bytes)),
    };
    Counters {
        allocator: NAME.to_owned(),
        version: Some(version.to_owned()),
        allocated_bytes: sum(|arena| arena.used),
        free_resident_bytes: sum(|arena| arena.free),
        lazily_freed_bytes: None,
        retained_bytes: Some(Bytes(mapped.saturating_sub(resident))),
        metadata_bytes: sum(|arena| arena.metadata),
        error_bytes: Some(bound),
        arenas: arenas.iter().enumerate().map(row).collect(),
        settings: Vec::new(),
        grade: Grade::Read,
        missing: vec![
            "blocks that other threads freed and the owner has not collected: counted as in use".to_owned(),
        ],
    }
}

#[cfg(test)]
mod tests;
