//! The counters of musl's mallocng (1.2.1 and later), from its metadata, which marks every slot as used or free.
//!
//! Input: a process on musl. Output: allocated and free bytes; exact at rest if there is time for all metadata, else
//! with a bound. The metadata is in areas of one page, from the start of `[heap]` on, each of which points to the next;
//! a group of slots and its record point to each other.

use crate::{
    allocator::{
        Owned,
        counters::{Absent, CounterReader, Counters, Target, error_bound, sampling},
        evidence::{Mark, ProcessEvidence},
        image::Image,
    },
    mm::region::{Backing, Prot},
    units::{Bytes, Grade},
};

mod record;

use record::{Area, Record};

const NAME: &str = "musl";
/// The most areas of one process: 100 MiB of metadata, for about 100 GiB.
const MOST_AREAS: usize = 25_000;
/// The most groups that are checked for the pointer to their record; above that, a sample of this size.
const MOST_ASKED: usize = 8192;
/// Groups that are checked at once.
const AT_ONCE: usize = 256;
/// The most pages of `[heap]` that are tried until an area is found.
const MOST_TRIES: u64 = 256;

/// The reader.
pub struct Musl;

impl CounterReader for Musl {
    fn name(&self) -> &'static str {
        NAME
    }

    /// A static program without symbols shows musl only by its memory.
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
        let mapped: u64 =
            target.ranges_of(NAME).filter(|owned| owned.owner.kind == "group").map(Owned::len).sum();
        let budget = target.image.left();
        let first = pages.into_iter().find_map(|at| Area::read(target.image, at));
        let first = first.ok_or_else(|| {
            self.absent(if target.image.is_spent() {
                "the time limit was reached before its metadata was found"
            } else {
                "no metadata of mallocng in its heap: an older malloc, or it was never called"
            })
        })?;
        let areas = areas(target.image, first, budget / 2).map_err(|reason| self.absent(reason))?;
        let mut sums = Sums::of(target.image, &areas.all, budget).map_err(|reason| self.absent(reason))?;
        sums.add_unread(&areas, mapped);
        let (moved, is_at_rest) = moved(target.image, &areas.all, budget / 8);
        Ok(sums.counters(&areas, moved, is_at_rest))
    }
}

/// The chain of metadata areas, from the first on.
struct Areas {
    all: Vec<Area>,
    /// Whether the chain is complete.
    is_whole: bool,
}

/// Reads the areas from the first on. Stops when only `end` of the budget is left. The heap starts with a guard page,
/// so its first readable page is the first area.
fn areas(image: &mut dyn Image, first: Area, end: u64) -> Result<Areas, String> {
    let (secret, mut next) = (first.check, first.next);
    let mut seen = std::collections::HashSet::from([first.at]);
    let mut areas = Areas { all: vec![first], is_whole: true };
    while next != 0 {
        if image.left() <= end {
            areas.is_whole = false;
            break;
        }
        let area = Area::read(image, next).filter(|area| area.check == secret);
        if area.is_none() && image.is_spent() {
            areas.is_whole = false;
            break;
        }
        let area = area.ok_or("part of its metadata cannot be read")?;
        if areas.all.len() >= MOST_AREAS || !seen.insert(area.at) {
            return Err("its list of metadata areas does not end".to_owned());
        }
        next = area.next;
        areas.all.push(area);
    }
    Ok(areas)
}

#[derive(Default)]
struct Sums {
    allocated: u64,
    free: u64,
    /// `None` when there was no time to determine it.
    free_resident: Option<u64>,
    headers: u64,
    unknown: u64,
    /// Bytes of the groups that have a mapping.
    mapped: u64,
    is_sampled: bool,
}

impl Sums {
    /// Sums the records. A group that does not point to its record makes the record doubtful.
    fn of(image: &mut dyn Image, areas: &[Area], budget: u64) -> Result<Self, String> {
        let mut sums = Self::default();
        let mut nested = 0_u64;
        let mut records: Vec<(u64, Record)> = areas.iter().flat_map(Area::records).collect();
        for at in doubtful(image, &records, budget / 3, &mut sums)? {
            // Drop doubtful records.
            records.get_mut(at).into_iter().for_each(|(_, record)| *record = Record::default());
        }
        for (_, record) in &records {
            sums.headers += record::UNIT;
            sums.allocated = sums.allocated.saturating_add(record.live() * record.stride());
            sums.free = sums.free.saturating_add(record.free_slots() * record.stride());
            // The slot that contains a nested group is used by malloc itself.
            nested = nested.saturating_add(record.nested_in().unwrap_or(0));
            let own = if record.nested_in().is_none() { record.len() } else { 0 };
            sums.mapped = sums.mapped.saturating_add(own);
        }
        sums.allocated =
            sums.allocated.checked_sub(nested).ok_or("its groups lie in slots that are not in use")?;
        sums.ask_resident(image, &records, budget / 4);
        Ok(sums)
    }

    /// Determines the resident part of the free bytes, from as many groups as there is time for.
    fn ask_resident(&mut self, image: &mut dyn Image, records: &[(u64, Record)], end: u64) {
        let free = records.iter().map(|(_, record)| record).filter(|record| record.free_slots() > 0);
        let free: Vec<&Record> = free.collect();
        let (mut asked, mut resident) = (0_u64, 0_u64);
        for (number, at) in sampling::order(free.len() as u64).enumerate() {
            let Some(record) = usize::try_from(at).ok().and_then(|at| free.get(at)) else { continue };
            // Reading the clock takes as long as a few groups, so check only every 32.
            if number.is_multiple_of(32) && image.left() <= end {
                break;
            }
            let found = free_resident(image, record);
            if image.is_spent() {
                break;
            }
            asked = asked.saturating_add(record.free_slots() * record.stride());
            resident = resident.saturating_add(found);
        }
        self.is_sampled = asked < self.free;
        let scaled = u128::from(resident) * u128::from(self.free) / u128::from(asked.max(1));
        let is_known = asked > 0 || self.free == 0;
        self.free_resident = is_known.then(|| u64::try_from(scaled).unwrap_or(u64::MAX).min(self.free));
    }

    /// Adds areas that were not read for lack of time. Assumes that their groups are like the read ones; the error
    /// covers full and empty ones.
    fn add_unread(&mut self, areas: &Areas, mapped: u64) {
        let unread = mapped.saturating_sub(self.mapped);
        if areas.is_whole || unread == 0 {
            return;
        }
        let read = self.allocated.saturating_add(self.free).max(1);
        let of = |part: u64| {
            u64::try_from(u128::from(unread) * u128::from(part) / u128::from(read)).unwrap_or(unread)
        };
        let (used, free) = (of(self.allocated), of(self.free));
        self.free_resident = self.free_resident.map(|resident| resident.saturating_add(of(resident)));
        self.allocated = self.allocated.saturating_add(used);
        self.free = self.free.saturating_add(free);
        self.unknown = self.unknown.saturating_add(used.max(unread.saturating_sub(used)));
        self.is_sampled = true;
    }

    fn counters(self, areas: &Areas, moved: u64, is_at_rest: bool) -> Counters {
        let Self { allocated, free, free_resident, headers, unknown, is_sampled, .. } = self;
        let mut missing = Vec::new();
        if free_resident.is_none() {
            missing.push(
                "how much of the free slots is resident: no time left to read the page tables".to_owned(),
            );
        }
        if !areas.is_whole {
            missing.push("part of its metadata: no time left to read it; estimated from the rest".to_owned());
        }
        Counters {
            allocator: NAME.to_owned(),
            version: Some("1.2.1+".to_owned()),
            allocated_bytes: Some(Bytes(allocated)),
            free_resident_bytes: free_resident.map(Bytes),
            lazily_freed_bytes: Some(Bytes(0)),
            retained_bytes: free_resident.map(|resident| Bytes(free.saturating_sub(resident))),
            metadata_bytes: Some(Bytes(areas.all.len() as u64 * record::AREA + headers)),
            error_bytes: Some(error_bound::bound(allocated, unknown.saturating_add(moved), is_at_rest)),
            grade: if is_sampled { Grade::Sampled } else { Grade::Read },
            missing,
            ..Counters::default()
        }
    }
}

/// The records whose groups do not point to them, from an evenly spread sample as large as time permits. The result is
/// extrapolated to the others.
fn doubtful(
    image: &mut dyn Image,
    records: &[(u64, Record)],
    end: u64,
    sums: &mut Sums,
) -> Result<Vec<usize>, String> {
    let order: Vec<usize> = sampling::order(records.len() as u64)
        .take(MOST_ASKED)
        .filter_map(|at| usize::try_from(at).ok())
        .collect();
    let (mut wrong, mut lost, mut asked) = (Vec::new(), 0_u64, 0_usize);
    let mut owners = vec![0; AT_ONCE * 8];
    for batch in order.chunks(AT_ONCE) {
        if image.left() <= end {
            break;
        }
        let mut batch: Vec<_> = batch.iter().filter_map(|at| Some((*at, records.get(*at)?))).collect();
        batch.sort_unstable_by_key(|(_, (_, record))| record.group);
        let places: Vec<u64> = batch.iter().map(|(_, (_, record))| record.group).collect();
        let read = image.read_each(&places, 8, &mut owners);
        let each = batch.iter().zip(owners.as_chunks::<8>().0).zip(read);
        for (((at, (place, record)), owner), is_read) in each {
            if !is_read && image.is_spent() {
                continue;
            }
            asked += 1;
            // It points elsewhere, or is swapped out.
            if !is_read || u64::from_le_bytes(*owner) != *place {
                wrong.push(*at);
                lost = lost.saturating_add(record.len());
            }
        }
    }
    if asked == 0 && !records.is_empty() {
        return Err("the time limit was reached before a group was checked".to_owned());
    }
    if wrong.len() > asked / 20 + 1 {
        return Err(format!("{} of {asked} groups do not name their record", wrong.len()));
    }
    sums.unknown = lost.saturating_mul(records.len().div_ceil(asked.max(1)) as u64);
    Ok(wrong)
}

/// Resident bytes of a group's free slots.
fn free_resident(image: &mut dyn Image, record: &Record) -> u64 {
    let (start, end) = (record.group, record.group.saturating_add(record.len()));
    match image.resident(start, end) {
        all if all == end - start => record.free_slots() * record.stride(),
        0 => 0,
        _ => record.each_free().map(|(start, end)| image.resident(start, end)).sum(),
    }
}

/// The change of the bytes in use since the areas were read, from those that can be read again in time, and whether all
/// were read again without a change.
fn moved(image: &mut dyn Image, areas: &[Area], end: u64) -> (u64, bool) {
    let used = |area: &Area| {
        area.records().map(|(_, record)| record.live() * record.stride()).fold(0, u64::saturating_add)
    };
    let (mut again, mut moved, mut is_same) = (0_u64, 0_u64, true);
    for at in sampling::order(areas.len() as u64) {
        let Some(area) = usize::try_from(at).ok().and_then(|at| areas.get(at)) else { continue };
        if image.left() <= end {
            break;
        }
        let Some(now) = Area::read(image, area.at) else { break };
        again += 1;
        is_same &= now == *area;
        moved = moved.saturating_add(used(&now).abs_diff(used(area)));
    }
    let all = areas.len() as u64;
    (moved.saturating_mul(all.div_ceil(again.max(1))), is_same && again == all)
}

#[cfg(test)]
mod tests;
