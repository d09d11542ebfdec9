//! The counters of musl's mallocng (1.2.1 and later): its metadata, which says of every slot whether it is in use.
//!
//! Input: a process on musl. Output: allocated and free bytes; exact at rest. The metadata lies in areas of one page,
//! from the start of `[heap]` on, and each names the next; a group of slots and its record name each other.

use crate::{
    allocator::{
        counters::{Absent, CounterReader, Counters, Target, error_bound},
        evidence::{Mark, ProcessEvidence},
        image::Image,
    },
    mm::region::{Backing, Prot},
    units::{Bytes, Grade},
};

mod record;

use record::{Area, Record};

const NAME: &str = "musl";
/// Areas of one process: 100 MiB of metadata, for some 100 GiB.
const MOST_AREAS: usize = 25_000;
/// Groups that are asked whether they name their record, some 10 ms of them: with more of them one in so many is.
const MOST_ASKED: usize = 8192;
/// Pages of `[heap]` that are tried until an area is found.
const MOST_TRIES: u64 = 256;

/// The reader.
pub struct Musl;

impl CounterReader for Musl {
    fn name(&self) -> &'static str {
        NAME
    }

    /// A static program without symbols may have nothing of musl's in it but its memory.
    fn applies(&self, process: &ProcessEvidence) -> bool {
        process.has(Mark::Musl) || !process.has(Mark::Glibc) && !process.has(Mark::Loader)
    }

    fn read(&self, target: &mut Target<'_>) -> Result<Counters, Absent> {
        let heap = target.regions.iter().filter(|region| region.backing == Backing::Heap);
        let heap: Vec<_> = heap.filter(|region| region.prot != Prot::NONE).collect();
        let page = target.image.page_size();
        let pages = heap.iter().flat_map(|region| {
            let count = (region.len() / page.max(1)).min(MOST_TRIES);
            (0..count).map(|at| region.start + at * page)
        });
        let pages: Vec<u64> = pages.collect();
        let first = pages.into_iter().find_map(|at| Area::read(target.image, at));
        let first = first.ok_or_else(|| {
            self.absent("no metadata of mallocng in its heap: an older malloc, or it was never called")
        })?;
        let areas = areas(target.image, first).map_err(|reason| self.absent(reason))?;
        let sums = sums(target.image, &areas).map_err(|reason| self.absent(reason))?;
        let is_at_rest = areas.iter().all(|area| Area::read(target.image, area.at).as_ref() == Some(area));
        Ok(Counters {
            allocator: NAME.to_owned(),
            version: Some("1.2.1+".to_owned()),
            allocated_bytes: Some(Bytes(sums.allocated)),
            free_resident_bytes: Some(Bytes(sums.free_resident)),
            lazily_freed_bytes: Some(Bytes(0)),
            retained_bytes: Some(Bytes(sums.free - sums.free_resident.min(sums.free))),
            metadata_bytes: Some(Bytes(areas.len() as u64 * record::AREA + sums.headers)),
            error_bytes: Some(error_bound::bound(sums.allocated, sums.unknown, is_at_rest)),
            grade: Grade::Read,
            ..Counters::default()
        })
    }
}

/// All areas, from the first on. A guard page at the start of the heap makes the first readable one the first of all.
fn areas(image: &mut dyn Image, first: Area) -> Result<Vec<Area>, String> {
    let (secret, mut next) = (first.check, first.next);
    let mut areas = vec![first];
    let mut seen = std::collections::HashSet::from([areas.first().map_or(0, |area| area.at)]);
    while next != 0 {
        let area = Area::read(image, next).filter(|area| area.check == secret);
        let area = area.ok_or("an area of its metadata cannot be read")?;
        if areas.len() >= MOST_AREAS || !seen.insert(area.at) {
            return Err("its areas of metadata have no end".to_owned());
        }
        next = area.next;
        areas.push(area);
    }
    Ok(areas)
}

#[derive(Default)]
struct Sums {
    allocated: u64,
    nested: u64,
    free: u64,
    free_resident: u64,
    headers: u64,
    unknown: u64,
}

/// The records say all; a group that does not name its own makes them doubtful.
fn sums(image: &mut dyn Image, areas: &[Area]) -> Result<Sums, String> {
    let mut sums = Sums::default();
    let all: usize = areas.iter().map(|area| area.records().count()).sum();
    let every = all.div_ceil(MOST_ASKED).max(1);
    let (mut number, mut asked, mut wrong) = (0_usize, 0_usize, 0_usize);
    for area in areas {
        let (mut places, mut doubtful) = (Vec::new(), Vec::new());
        for (at, record) in area.records() {
            if number.is_multiple_of(every) {
                places.push(record.group);
                doubtful.push((at, record));
            } else {
                count(image, &record, &mut sums);
            }
            number += 1;
        }
        let mut owners = vec![0; places.len() * 8];
        let read = image.read_each(&places, 8, &mut owners);
        for (((at, record), owner), is_read) in doubtful.iter().zip(owners.as_chunks::<8>().0).zip(read) {
            asked += 1;
            // A group that says otherwise, or is swapped out, is nothing to build on; nor are those it stands for.
            if !is_read || u64::from_le_bytes(*owner) != *at {
                wrong += 1;
                sums.unknown = sums.unknown.saturating_add(record.len().saturating_mul(every as u64));
                continue;
            }
            count(image, record, &mut sums);
        }
        if image.is_spent() {
            return Err("there is more metadata than the budget of a reading".to_owned());
        }
    }
    sums.allocated =
        sums.allocated.checked_sub(sums.nested).ok_or("its groups lie in slots that are not in use")?;
    if wrong > asked / 20 + 1 {
        return Err(format!("{wrong} of {asked} groups do not name their record"));
    }
    Ok(sums)
}

fn count(image: &mut dyn Image, record: &Record, sums: &mut Sums) {
    sums.headers += record::UNIT;
    sums.allocated = sums.allocated.saturating_add(record.live() * record.stride());
    // The slot that a nested group lies in is in use by malloc itself.
    sums.nested = sums.nested.saturating_add(record.nested_in().unwrap_or(0));
    let free = record.free_slots() * record.stride();
    if free == 0 {
        return;
    }
    sums.free = sums.free.saturating_add(free);
    let (start, end) = (record.group, record.group.saturating_add(record.len()));
    sums.free_resident += match image.resident(start, end) {
        all if all == end - start => free,
        0 => 0,
        _ => record.each_free().map(|(start, end)| image.resident(start, end)).sum(),
    };
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
            conformance::holds(&Musl, memory, &fake::NO_FILES).ok();
        }

        /// The same where the metadata is right at first sight.
        #[test]
        fn any_records_are_read_to_an_end(words in prop::collection::vec(any::<u64>(), 505), near: bool) {
            let heap = 0x5555_5555_0000;
            let mut area = vec![7, if near { heap + 0x1000 } else { heap }, 101];
            area.extend(words.iter().enumerate().map(|(at, word)| match at % 5 {
                // Half of the groups are there and name their record.
                2 if word % 2 == 0 => heap + 0x2000 + at as u64 / 5 * 64,
                _ => *word,
            }));
            area.resize(1024, 0);
            area.extend((0..1024_u64).map(|at| heap + 24 + at / 8 * 40));
            let memory = Fake::default().with_words(0x4000_0000, &[0; 512]).with_words(heap, &area);
            conformance::holds(&Musl, memory, &fake::NO_FILES).ok();
        }
    }
}
