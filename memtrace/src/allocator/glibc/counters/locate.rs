//! Finds `main_arena` and `mp_` without symbols.
//!
//! Input: the data of the modules with glibc's malloc. Output: the addresses of the structures, recognised by 254 links
//! that are never null and mostly point to themselves, a top chunk that ends at a page, and a closed ring.

use super::{
    arena::Arena,
    layout::{PARAMETERS, Parameters, STATE_FLAGS, STATES, State},
    pages::Pages,
};
use crate::allocator::{counters::data::Data, evidence::content::heap_of};

/// The most arenas of a process.
const MOST_ARENAS: usize = 4096;
/// With fewer empty bins than this, the chunks of the others must point back.
const MOST_EMPTY: u64 = 32;
/// `DEFAULT_MMAP_MAX`, and `arena_test` of 64 bits.
const MMAP_MAX: u64 = 65536;
const ARENA_TEST: u64 = 8;

/// The arenas of the process, the main one first.
pub fn arenas(pages: &mut Pages<'_>, data: &[Data]) -> Vec<Arena> {
    let mut rings: Vec<Vec<Arena>> = Vec::new();
    for (at, rest) in data.iter().flat_map(Data::suffixes) {
        for layout in &STATES {
            let ring = candidate(at, layout, rest).and_then(|main| ring(pages, main));
            rings.extend(ring);
        }
    }
    // A second glibc in one process (dlmopen) has its own ring; choose the one with the most memory.
    rings.into_iter().max_by_key(|ring| ring.iter().map(Arena::system_mem).max()).unwrap_or_default()
}

fn candidate(at: u64, layout: &'static State, words: &[u64]) -> Option<Arena> {
    let word = |offset: u64| words.get(usize::try_from(offset / 8).ok()?).copied();
    // Cheap checks first, because there are many addresses.
    let (top, next) = (word(layout.top)?, word(layout.next)?);
    if top == 0 || top % 8 != 0 || next == 0 || next % 8 != 0 || word(layout.bins)? == 0 {
        return None;
    }
    let flags = word(0)? >> (STATE_FLAGS * 8);
    let arena = Arena::of(at, layout, words).filter(|_| flags & !3 == 0)?;
    arena.empty_bins().map(|_| arena)
}

/// The ring of arenas from the main one on, if it closes.
fn ring(pages: &mut Pages<'_>, main: Arena) -> Option<Vec<Arena>> {
    let page = pages.image.page_size();
    let size = main.top_size(pages)?;
    let is_top = main.is_unused() || main.top().checked_add(size)? % page == 0;
    let is_empty = main.empty_bins()? >= MOST_EMPTY;
    let points_back = |pages: &mut Pages<'_>| {
        let firsts: Vec<_> = main.first_chunks().collect();
        let back = |(header, first): (u64, u64)| pages.word(first.checked_add(24)?).map(|bk| bk == header);
        firsts.into_iter().filter_map(back).filter(|is_back| *is_back).count() >= 8
    };
    if !is_top || !is_empty && !points_back(pages) {
        return None;
    }
    let (layout, start) = (main.layout, main.at);
    let mut next = main.next();
    let mut ring = vec![main];
    while next != start {
        let arena = Arena::read(pages, next, layout)?;
        // Every arena except the main one is in a heap whose header points to it.
        if ring.len() >= MOST_ARENAS || pages.word(heap_of(next)) != Some(next) {
            return None;
        }
        next = arena.next();
        ring.push(arena);
    }
    Some(ring)
}

/// `mp_` as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its layout.
    pub layout: &'static Parameters,
    /// Its address.
    pub at: u64,
    words: Vec<u64>,
}

impl Found {
    /// The word at an offset.
    pub fn word(&self, offset: u64) -> u64 {
        let word = usize::try_from(offset / 8).ok().and_then(|at| self.words.get(at));
        word.copied().unwrap_or_default()
    }

    /// The half word at an offset: a C `int`.
    pub fn half(&self, offset: u64) -> u64 {
        self.word(offset) >> (offset % 8 * 8) & 0xffff_ffff
    }

    /// The number of facts that support it; `None` when one excludes it.
    fn weight(&self, heap: Option<u64>, page: u64) -> Option<u32> {
        let Parameters { n_mmaps, mmapped_mem, sbrk_base, .. } = *self.layout;
        let (count, most) = (self.half(n_mmaps), self.half(n_mmaps + 4));
        let (mapped, most_mapped) = (self.word(mmapped_mem), self.word(mmapped_mem + 8));
        let (base, [trim, pad, threshold]) = (self.word(sbrk_base), [0, 8, 16].map(|at| self.word(at)));
        let (test, arenas) = (self.word(24), self.word(32));
        let is_base = match heap {
            // In the first page of the heap, whose start is not always the first chunk.
            Some(heap) => base == 0 || base >= heap && base < heap.saturating_add(page),
            None => true,
        };
        let fits = count <= most.max(MMAP_MAX)
            && most <= i32::MAX as u64
            && mapped.is_multiple_of(page)
            && mapped <= most_mapped
            && most_mapped < 1 << 47
            && (count == 0) == (mapped == 0)
            && base < 1 << 47
            && is_base
            && test <= 1 << 20
            && arenas <= 1 << 20
            && (trim > 0 && pad < 1 << 40 && threshold < 1 << 40);
        let says = [most == MMAP_MAX, test == ARENA_TEST, base != 0 && heap.is_some(), pad == 128 << 10];
        fits.then(|| says.iter().map(|says| u32::from(*says)).sum()).filter(|weight| *weight >= 2)
    }
}

/// `mp_`, if no other place fits equally well.
pub fn parameters(data: &[Data], heap: Option<u64>, page: u64) -> Option<Found> {
    let mut found: Vec<(u32, Found)> = Vec::new();
    for (at, rest) in data.iter().flat_map(Data::suffixes) {
        let is_likely = |at: usize| rest.get(at).is_some_and(|word| *word != 0);
        if !is_likely(0) || !is_likely(2) {
            continue;
        }
        for layout in &PARAMETERS {
            let len = usize::try_from(layout.size / 8).unwrap_or(0);
            let Some(words) = rest.get(..len) else { continue };
            let candidate = Found { layout, at, words: words.to_vec() };
            found.extend(candidate.weight(heap, page).map(|weight| (weight, candidate)));
        }
    }
    let most = found.iter().map(|(weight, _)| *weight).max()?;
    let mut best = found.into_iter().filter(|(weight, _)| *weight == most);
    let (_, first) = best.next()?;
    best.next().is_none().then_some(first)
}
