//! jemalloc's own counters: the figures of `mallctl`, for any prefix and without symbols.
//!
//! Input: a process with jemalloc. Output: bytes in use, dirty, muzzy and retained, arena by arena. The array of arenas
//! is recognised by the arenas that it points to: each contains its own index three times, and the states of its pages.

use std::collections::HashSet;

use crate::{
    allocator::{
        counters::{
            Absent, ArenaCounters, CounterReader, Counters, Setting, Target, data, error_bound,
            sampling::Parts,
        },
        evidence::{Mark, ProcessEvidence},
    },
    mm::region::Prot,
    units::{Bytes, Grade},
};

mod arena;
mod extents;
mod layout;

use arena::Arena;
use extents::Extents;
use layout::{LAYOUTS, Layout};

const NAME: &str = "jemalloc";
/// `MALLOCX_ARENA_LIMIT`.
const MOST_ARENAS: u32 = 4095;
/// The sum of the extents may differ from the pages in use by 1/`CLOSE`, because they change while they are read.
const CLOSE: u64 = 50;
/// The same for a sum that is estimated from a sample: 1/`CLOSE_SAMPLED`.
const CLOSE_SAMPLED: u64 = 2;
/// How often the extents of an allocating process are counted until they add up.
const MOST_TRIES: u32 = 3;
/// The most words of data that are followed as pointers: about 20 ms.
const MOST_FOLLOWED: usize = 10_000;

/// The reader.
pub struct Jemalloc;

impl CounterReader for Jemalloc {
    fn name(&self) -> &'static str {
        NAME
    }

    fn applies(&self, process: &ProcessEvidence) -> bool {
        process.has(Mark::Jemalloc)
    }

    fn read(&self, target: &mut Target<'_>) -> Result<Counters, Absent> {
        let page = target.image.page_size();
        let is_here = |layout: &&Layout| layout.arch == std::env::consts::ARCH && layout.page == page;
        let layouts: Vec<&'static Layout> = LAYOUTS.iter().filter(is_here).collect();
        let data = data::of(target, Mark::Jemalloc);
        let arenas = locate(target, &layouts, &data);
        let Some(Found { layout, arenas }) = arenas else {
            return Err(self.absent(if target.image.is_spent() {
                "the time limit was reached before its arenas were found"
            } else {
                "its arenas were not found: unknown version or build"
            }));
        };
        let mut read = read_all(target, layout, &arenas)
            .map_err(|index| self.absent(format!("the fields of arena {index} are implausible")))?;
        let counted = in_use(&read);
        let doubt = fill(target, &data, &mut read);
        let again = read_all(target, layout, &arenas).ok();
        let moved = error_bound::bound_between(counted, again.as_deref().map(in_use)).0;
        let off = if doubt.is_sampled { doubt.off.saturating_add(moved) } else { doubt.off.max(moved) };
        let mut counters = counters(layout, &read, Doubt { off, ..doubt });
        counters.settings.push(environment(target.process));
        Ok(counters)
    }
}

/// Reads each arena again; the error is the index of one that is no longer valid.
fn read_all(
    target: &mut Target<'_>,
    layout: &'static Layout,
    arenas: &[(u32, u64)],
) -> Result<Vec<(u32, Arena)>, u32> {
    let mut read = |(index, at): &(u32, u64)| match Arena::read(target.image, layout, *at) {
        Some(arena) => Ok((*index, arena)),
        None => Err(*index),
    };
    arenas.iter().map(&mut read).collect()
}

/// The sum in use: of blocks if there are statistics, else of pages.
fn in_use(arenas: &[(u32, Arena)]) -> u64 {
    arenas.iter().fold(0, |sum, (_, arena)| sum.saturating_add(arena.allocated.unwrap_or(arena.active)))
}

/// The array of arenas.
struct Found {
    layout: &'static Layout,
    arenas: Vec<(u32, u64)>,
}

/// Chooses the place with the most arenas, because others, such as `a0`, point to the first one too.
fn locate(target: &mut Target<'_>, layouts: &[&'static Layout], data: &[data::Data]) -> Option<Found> {
    let mut refused = HashSet::new();
    let mut best: Option<Found> = None;
    for (at, words) in data.iter().flat_map(data::Data::suffixes) {
        let Some(first) = words.first().copied().filter(|first| is_plausible(target, *first)) else {
            continue;
        };
        if refused.contains(&first) || refused.len() >= MOST_FOLLOWED {
            continue;
        }
        let Some(layout) = arena::layout_at(target.image, layouts, first, 0) else {
            refused.insert(first);
            continue;
        };
        let arenas = followers(target, layout, at, first);
        if best.as_ref().is_none_or(|best| arenas.len() > best.arenas.len()) {
            best = Some(Found { layout, arenas });
        }
    }
    best
}

/// Whether the address is in private anonymous memory, where base blocks are.
fn is_plausible(target: &Target<'_>, address: u64) -> bool {
    if address < 1 << 16 || !address.is_multiple_of(16) {
        return false;
    }
    target.region(address).is_some_and(|region| {
        region.prot.0 == Prot::READ | Prot::WRITE && region.backing == crate::mm::region::Backing::Anonymous
    })
}

/// The arenas of an array, given its first. Arenas that do not exist yet are null.
fn followers(target: &mut Target<'_>, layout: &'static Layout, at: u64, first: u64) -> Vec<(u32, u64)> {
    let bytes = data::filled(target.image, at, MOST_ARENAS as usize * 8);
    let mut arenas = vec![(0, first)];
    for (index, word) in (0..).zip(bytes.as_chunks::<8>().0).skip(1) {
        match u64::from_le_bytes(*word) {
            0 => {}
            word if arena::is_arena(target.image, layout, word, index) => arenas.push((index, word)),
            _ => break,
        }
    }
    arenas
}

/// The error of the blocks in use, and whether they are estimated from a sample.
#[derive(Clone, Copy, Debug, Default)]
struct Doubt {
    off: u64,
    is_sampled: bool,
}

/// In builds without statistics: sets the blocks in use from the heads of all extents, if these add up to the pages
/// that the arenas count. The error is the change meanwhile, 0 for a process at rest. When there is no time for all
/// heads, it is estimated from a sample.
fn fill(target: &mut Target<'_>, data: &[data::Data], arenas: &mut [(u32, Arena)]) -> Doubt {
    if arenas.iter().all(|(_, arena)| arena.allocated.is_some()) {
        return Doubt::default();
    }
    let active = arenas.iter().fold(0_u64, |sum, (_, arena)| sum.saturating_add(arena.active));
    let counted = (0..MOST_TRIES).find_map(|_| {
        let extents = extents::count(target, data)?;
        let off = extents.bytes.abs_diff(active);
        let most = if extents.sampled.is_some() { active / CLOSE_SAMPLED } else { active / CLOSE };
        (active > 0 && off <= most).then_some((extents, off))
    });
    match counted {
        None => Doubt::default(),
        Some((Extents { sampled: Some(parts), .. }, _)) => sampled(&parts, active, arenas),
        Some((extents, off)) => {
            for (index, arena) in arenas {
                let allocated = extents.allocated.get(index).copied().unwrap_or_default();
                arena.allocated = Some(allocated.min(arena.active.saturating_add(off)));
            }
            let off = if off == 0 { 0 } else { off.saturating_add(active / CLOSE) };
            Doubt { off, is_sampled: false }
        }
    }
}

/// Assumes that all arenas are as full as the sampled extents.
fn sampled(parts: &Parts, active: u64, arenas: &mut [(u32, Arena)]) -> Doubt {
    let Some((used, off)) = parts.of_all(active) else { return Doubt::default() };
    for (_, arena) in arenas {
        let share = u128::from(arena.active) * u128::from(used) / u128::from(active.max(1));
        arena.allocated = Some(u64::try_from(share).unwrap_or(arena.active).min(arena.active));
    }
    Doubt { off: off.off(), is_sampled: true }
}

fn counters(layout: &Layout, arenas: &[(u32, Arena)], doubt: Doubt) -> Counters {
    let sum = |of: fn(&Arena) -> u64| {
        Some(Bytes(arenas.iter().fold(0, |sum: u64, (_, arena)| sum.saturating_add(of(arena)))))
    };
    let all = |of: fn(&Arena) -> Option<u64>| {
        arenas.iter().try_fold(0_u64, |sum, (_, arena)| sum.checked_add(of(arena)?)).map(Bytes)
    };
    let allocated = all(|arena| arena.allocated);
    let metadata = all(|arena| arena.metadata);
    let mut missing = vec!["blocks in thread caches: counted as in use".to_owned()];
    if allocated.is_none() {
        let why = if metadata.is_none() { "this build keeps no statistics" } else { "not in this version" };
        missing.push(format!("free space inside pages ({why}): whole pages are counted as in use"));
    }
    if metadata.is_none() {
        missing.push("metadata: this build keeps no statistics".to_owned());
    }
    let row = |(index, arena): &(u32, Arena)| ArenaCounters {
        name: format!("arena {index}"),
        allocated_bytes: Some(Bytes(arena.allocated.unwrap_or(arena.active))),
        free_resident_bytes: Some(Bytes(arena.dirty)),
        system_bytes: Some(arena.system()),
    };
    Counters {
        allocator: NAME.to_owned(),
        version: Some(layout.version.to_owned()),
        error_bytes: allocated.map(|_| Bytes(doubt.off)),
        grade: match allocated {
            Some(_) if doubt.is_sampled => Grade::Sampled,
            Some(_) => Grade::Read,
            None => Grade::Inferred,
        },
        allocated_bytes: allocated.or_else(|| sum(|arena| arena.active)),
        free_resident_bytes: sum(|arena| arena.dirty),
        lazily_freed_bytes: sum(|arena| arena.muzzy),
        retained_bytes: sum(|arena| arena.retained),
        metadata_bytes: metadata,
        arenas: arenas.iter().map(row).collect(),
        settings: settings(arenas),
        missing,
    }
}

/// The environment variable with its options: a build that replaces `malloc` has no prefix, the Rust crate's has one.
fn environment(process: &ProcessEvidence) -> Setting {
    let ours = process.modules().iter().find(|module| module.marks.has(Mark::Jemalloc));
    let is_malloc = ours.is_some_and(|module| module.marks.has(Mark::DefinesMalloc));
    let name = if is_malloc { "MALLOC_CONF" } else { "_RJEM_MALLOC_CONF" };
    Setting { name: "environment".to_owned(), value: name.to_owned() }
}

/// The settings of the first arena; others have the same unless the program set them individually.
fn settings(arenas: &[(u32, Arena)]) -> Vec<Setting> {
    let first = arenas.first().map(|(_, arena)| arena.decay);
    let named =
        first.into_iter().flat_map(|decay| ["dirty_decay_ms", "muzzy_decay_ms"].into_iter().zip(decay));
    let decay = named.map(|(name, time)| Setting { name: name.to_owned(), value: time.to_string() });
    let count = Setting { name: "arenas".to_owned(), value: arenas.len().to_string() };
    decay.chain([count]).collect()
}

#[cfg(test)]
mod tests;
