//! glibc malloc's own counters: the figures of `mallinfo2`, read from outside.
//!
//! Input: a process with glibc's malloc. Output: allocated and free bytes, arena by arena. Exact for a process at rest,
//! if time permits; within the given bound if it allocates meanwhile or is sampled.

use crate::{
    allocator::{
        counters::{Absent, ArenaCounters, CounterReader, Counters, Setting, Target, data, error_bound},
        evidence::{Mark, ProcessEvidence, content::HEAP_SIZE},
    },
    mm::region::{Backing, Region},
    units::{Bytes, Grade},
};

mod arena;
mod cache;
mod chunk;
mod layout;
mod locate;
mod pages;
mod sample;
mod sums;

use arena::{Arena, Held};
use cache::{Caches, Places};
use chunk::{Limit, Span, Tally};
use layout::Parameters;
use pages::Pages;
use sums::{Counted, Sums, part};

const NAME: &str = "glibc";
/// 1/`LISTS` of the budget is for the threads' caches, and as much of an arena's for its free lists, which are exact if they
/// are short.
const LISTS: u64 = 8;
/// 1/`AFTER` of the remaining budget is for the steps after the arenas.
const AFTER: u64 = 8;

/// The most retries of a reading that does not add up.
const MOST_RETRIES: u32 = 3;

/// The reader.
pub struct Glibc;

impl CounterReader for Glibc {
    fn name(&self) -> &'static str {
        NAME
    }

    fn applies(&self, process: &ProcessEvidence) -> bool {
        process.has(Mark::Glibc)
    }

    fn read(&self, target: &mut Target<'_>) -> Result<Counters, Absent> {
        let page = target.image.page_size();
        let data = data::of(target, Mark::Glibc);
        let heap = target.regions.iter().find(|region| region.backing == Backing::Heap);
        let heap = heap.map(|region| region.start);
        let places = places(target);
        let mut pages = Pages::new(target.image);
        let arenas = locate::arenas(&mut pages, &data);
        let parameters = locate::parameters(&data, heap, page);
        if arenas.is_empty() {
            let reason = if target.image.is_spent() {
                "the time limit was reached before its main arena was found"
            } else {
                "no main arena: malloc was never called, or the layout is unknown"
            };
            return Err(self.absent(reason));
        }
        let base =
            parameters.as_ref().map(|found| found.word(found.layout.sbrk_base)).filter(|base| *base != 0);
        let mut reading = Reading { arenas, base: base.or(heap), parameters, places };
        let mut best = reading.count(&mut pages);
        // If a heap grew or an arena appeared meanwhile, try again from the current state; the most complete try counts.
        for _ in 0..MOST_RETRIES {
            if best.as_ref().is_ok_and(|best| !best.is_restless) || pages.image.is_spent() {
                break;
            }
            pages.forget();
            reading.arenas = locate::arenas(&mut pages, &data);
            let next = reading.count(&mut pages);
            let unread = |counted: &Result<Try, String>| counted.as_ref().map_or(usize::MAX, |it| it.unread);
            if unread(&next) <= unread(&best) {
                best = next;
            }
        }
        best.map(|best| best.counters).map_err(|reason| self.absent(reason))
    }
}

/// Where thread control blocks can be. The loader maps the first thread's beside what it has loaded.
fn places(target: &Target<'_>) -> Places {
    let stacks: Vec<(u64, u64)> = target
        .ranges_of("stack")
        .filter(|owned| owned.owner.kind == "thread stack")
        .map(|owned| (owned.start, owned.end))
        .collect();
    // The stack of a thread may be as small, and has that thread's own.
    let is_stack = |region: &Region| {
        let next = stacks.partition_point(|(_, end)| *end <= region.start);
        stacks.get(next).is_some_and(|(start, _)| *start < region.end)
    };
    let is_small = |region: &&Region| {
        region.backing == Backing::Anonymous
            && region.prot.is_writable()
            && region.len() <= 64 << 10
            && !is_stack(region)
    };
    let mut loaded: Vec<u64> =
        target.process.modules().iter().flat_map(|module| &module.images).map(|image| image.end).collect();
    loaded.sort_unstable();
    let nearest = |at: u64| {
        let next = loaded.partition_point(|end| *end <= at);
        let both = [next.checked_sub(1).and_then(|before| loaded.get(before)), loaded.get(next)];
        both.into_iter().flatten().map(|end| end.abs_diff(at)).min()
    };
    let mut small: Vec<(u64, u64)> =
        target.regions.iter().filter(is_small).map(|region| (region.start, region.end)).collect();
    small.sort_by_cached_key(|(start, _)| nearest(*start));
    Places { stacks, small }
}

/// The arenas and structures that were found.
struct Reading {
    arenas: Vec<Arena>,
    base: Option<u64>,
    parameters: Option<locate::Found>,
    places: Places,
}

/// One try to count all arenas.
struct Try {
    counters: Counters,
    /// Arenas that are estimated from the others.
    unread: usize,
    /// Whether some of these change too fast, or are implausible.
    is_restless: bool,
}

impl Reading {
    fn count(&self, pages: &mut Pages<'_>) -> Result<Try, String> {
        let mut counters = Counters { allocator: NAME.to_owned(), ..Counters::default() };
        let left = pages.image.left();
        let Caches { chunks: mut caches, unseen } =
            cache::of_threads(pages, &self.places, left - left / LISTS);
        let threads = caches.len() as u64;
        let mut sums = self.count_arenas(pages, &mut counters.arenas, &mut caches)?;
        let (unread, all) = (sums.unread.len(), self.arenas.len());
        if unread > 0 {
            let reason = if sums.is_restless { "they change too fast" } else { "no time left to read them" };
            counters.missing.push(format!("{unread} of {all} arenas: {reason}; estimated from the others"));
            sums.add_unread();
        }
        caches.sort_unstable();
        caches.dedup();
        let cached: u64 = caches
            .iter()
            .filter_map(|(chunk, size)| cache::held(pages, *chunk, cache::layout_of(*size)?))
            .sum();
        if pages.image.is_spent() {
            // Some thread caches may not have been read.
            sums.unknown = sums.unknown.saturating_add(threads.max(1) * cache::LARGEST);
        } else {
            sums.unknown = sums.unknown.saturating_add(unseen * cache::LARGEST);
        }
        if cached > 0 {
            counters.arenas.push(ArenaCounters {
                name: "thread caches".to_owned(),
                allocated_bytes: None,
                free_resident_bytes: Some(Bytes(cached)),
                system_bytes: None,
            });
        }
        match &self.parameters {
            Some(found) => {
                sums.allocated += found.word(found.layout.mmapped_mem);
                counters.settings = settings(found);
            }
            None => counters.missing.push("chunks with a mapping of their own: mp_ was not found".to_owned()),
        }
        let (grown, is_at_rest) = self.motion(pages);
        let unknown = sums.unknown.saturating_add(sums.doubt.off()).saturating_add(grown);
        counters.version = self.version();
        counters.grade = if sums.is_sampled { Grade::Sampled } else { Grade::Read };
        counters.allocated_bytes = Some(Bytes(sums.allocated.saturating_sub(cached)));
        counters.free_resident_bytes = Some(Bytes(sums.resident + cached));
        counters.retained_bytes = Some(Bytes(sums.reserve + sums.free.saturating_sub(sums.resident)));
        counters.lazily_freed_bytes = Some(Bytes(0));
        counters.error_bytes = Some(error_bound::bound(sums.allocated, unknown, is_at_rest));
        Ok(Try { counters, unread, is_restless: sums.is_restless })
    }

    /// Counts each arena with its share of the budget.
    fn count_arenas(
        &self,
        pages: &mut Pages<'_>,
        rows: &mut Vec<ArenaCounters>,
        caches: &mut Vec<(u64, u64)>,
    ) -> Result<Sums, String> {
        let mut sums = Sums::default();
        let mut uncounted: u64 = self.arenas.iter().map(Arena::system_mem).fold(0, u64::saturating_add);
        let after = pages.image.left() / AFTER;
        for (at, arena) in self.arenas.iter().enumerate() {
            let name = if at == 0 { "main".to_owned() } else { format!("arena {at}") };
            // Budget that one arena did not use is left to the next ones.
            let left = pages.image.left().saturating_sub(after);
            let share = part(left, arena.system_mem(), uncounted);
            uncounted = uncounted.saturating_sub(arena.system_mem());
            let counted = self.count_arena(pages, arena, at == 0, share);
            // More free than there is was seen in the middle of a change.
            let counted = counted.and_then(|counted| {
                let in_use = counted.system.checked_sub(counted.top + counted.free.bytes)?;
                Some((counted, in_use))
            });
            let Some((counted, in_use)) = counted else {
                sums.is_restless |= pages.image.left() > (left + after).saturating_sub(share);
                sums.unread.push(arena.system_mem());
                let system_bytes = Some(Bytes(arena.system_mem()));
                rows.push(ArenaCounters { name, system_bytes, ..ArenaCounters::default() });
                continue;
            };
            sums.add(&counted, in_use);
            rows.push(ArenaCounters {
                name,
                allocated_bytes: Some(Bytes(in_use)),
                free_resident_bytes: Some(Bytes(counted.free.resident)),
                system_bytes: Some(Bytes(counted.system)),
            });
            caches.extend(counted.caches);
        }
        if sums.unread.len() == self.arenas.len() {
            let reason = if sums.is_restless {
                "its arenas change too fast, or are implausible"
            } else {
                "the time limit was reached before an arena was counted"
            };
            return Err(reason.to_owned());
        }
        Ok(sums)
    }

    /// The change of the arenas' sizes since they were read, and whether they are at rest. Thread caches may have
    /// changed, but they are small.
    fn motion(&self, pages: &mut Pages<'_>) -> (u64, bool) {
        pages.forget();
        let (mut grown, mut is_at_rest) = (0_u64, true);
        for arena in &self.arenas {
            let now = Arena::read(pages, arena.at, arena.layout);
            is_at_rest &= now.as_ref() == Some(arena);
            let system = now.map_or(arena.system_mem(), |now| now.system_mem());
            grown = grown.saturating_add(system.abs_diff(arena.system_mem()));
        }
        (grown, is_at_rest)
    }

    /// The versions with all the layouts that were found.
    fn version(&self) -> Option<String> {
        let state = self.arenas.first().map(|main| main.layout.versions);
        let versions = self.parameters.as_ref().map(|found| found.layout.versions).or(state);
        versions.map(str::to_owned)
    }

    fn count_arena(
        &self,
        pages: &mut Pages<'_>,
        arena: &Arena,
        is_main: bool,
        share: u64,
    ) -> Option<Counted> {
        let system = arena.system_mem();
        let heaps = if is_main { Vec::new() } else { arena.heaps(pages)? };
        // A thread interrupted during a change may not have written the chunk's head yet.
        let end = match heaps.first() {
            Some((heap, size)) => Some(heap + size),
            None => self.base.and_then(|base| base.checked_add(system)),
        };
        let to_end = |end: u64| end.checked_sub(arena.top()).filter(|size| *size <= system);
        let top = arena.top_size(pages).or_else(|| end.and_then(to_end))?;
        let spans = match self.base {
            _ if !is_main => arena.spans(&heaps),
            _ if arena.is_unused() => Vec::new(),
            Some(base) => {
                vec![Span { start: arena::first_chunk(base), end: arena.top(), has_top: true }]
            }
            None => return None,
        };
        let before = pages.image.left();
        let lists = lists_end(pages, before.saturating_sub(share));
        let fast = arena.fast(pages.image, lists);
        let share = share.saturating_sub(before.saturating_sub(pages.image.left()));
        let tally = tally(pages, arena, &spans, share)?;
        // Further chunks of fast bins are among the small ones.
        let unlisted = tally.small.unwrap_or(system).saturating_sub(fast.bytes);
        let unlisted = if fast.is_complete { 0 } else { unlisted };
        let top_resident = pages.image.resident(arena.top(), arena.top().saturating_add(top));
        let reserve = heaps.iter().map(|(_, size)| HEAP_SIZE.saturating_sub(*size)).sum();
        let free = Held {
            bytes: tally.free + fast.bytes,
            resident: tally.free_resident + fast.resident + if arena.is_unused() { 0 } else { top_resident },
            is_complete: fast.is_complete,
        };
        let unknown = tally.unknown.saturating_add(unlisted);
        let Tally { is_sampled, doubt, spotted: caches, .. } = tally;
        Some(Counted { system, free, top, reserve, unknown, caches, is_sampled, doubt })
    }
}

/// Counts chunk by chunk if the share of the budget allows it, else by the lists, else by samples.
fn tally(pages: &mut Pages<'_>, arena: &Arena, spans: &[Span], share: u64) -> Option<Tally> {
    let mut tally = Tally::default();
    let end = pages.image.left().saturating_sub(share);
    // The main heap can contain memory of other brk users, or be split.
    let is_one =
        spans.iter().all(|span| span.start <= span.end && span.end - span.start <= arena.system_mem());
    let is_small = arena.system_mem() <= share;
    if is_one && is_small {
        let mut ahead = spans.iter().map(|span| span.end - span.start).sum();
        for span in spans {
            ahead -= span.end - span.start;
            chunk::walk(pages.image, *span, &cache::SIZES, Limit { end, ahead }, &mut tally);
        }
        if tally.unknown == 0 {
            return Some(tally);
        }
    }
    let lists = lists_end(pages, end);
    let held = arena.binned(pages.image, lists);
    if held.is_complete {
        let spotted = std::mem::take(&mut tally.spotted);
        return Some(Tally { free: held.bytes, free_resident: held.resident, spotted, ..Tally::default() });
    }
    let is_over = tally.is_sampled || !is_small;
    if is_one && is_over {
        let lists = lists_end(pages, end);
        let large = arena.large(pages.image, lists);
        let heads =
            spans.iter().map(|span| (span.start, pages.word(span.start + 8).unwrap_or(0) & !chunk::FLAGS));
        let mut spotted: Vec<(u64, u64)> = heads.collect();
        spotted.append(&mut tally.spotted);
        if let Some(sampled) = sample::sample(pages.image, spans, &large, end) {
            return Some(Tally { spotted, ..sampled });
        }
    }
    (tally.seen > 0).then(|| if tally.is_sampled { tally.filled() } else { tally })
}

/// The budget at which the lists must stop, given the end of the arena's share.
fn lists_end(pages: &Pages<'_>, end: u64) -> u64 {
    let left = pages.image.left();
    left - left.saturating_sub(end) / LISTS
}

fn settings(found: &locate::Found) -> Vec<Setting> {
    let Parameters { no_dyn_threshold, .. } = found.layout;
    let setting = |name: &str, value: u64| Setting { name: name.to_owned(), value: value.to_string() };
    vec![
        setting("trim_threshold", found.word(0)),
        setting("top_pad", found.word(8)),
        setting("mmap_threshold", found.word(16)),
        setting("arena_max", found.word(32)),
        setting("no_dyn_threshold", found.half(*no_dyn_threshold)),
        setting("mmapped_bytes", found.word(found.layout.mmapped_mem)),
        setting("mmapped_chunks", found.half(found.layout.n_mmaps)),
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::allocator::{counters::conformance, image::fake};

    proptest! {
        #[test]
        fn any_memory_is_read_to_an_end(memory in fake::memory()) {
            conformance::holds(&Glibc, memory, &fake::NO_FILES).ok();
        }
    }
}
