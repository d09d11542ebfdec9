//! Thread caches: free chunks of each thread, which the arenas count as in use.
//!
//! Input: places where a cache can be. Output: the bytes in them. A cache is accepted if its counts and lists agree.

use super::{
    arena::revealed,
    chunk::{FLAGS, SMALLEST},
    layout::{CACHE_BINS, CACHES, Cache, size_of_bin},
    pages::Pages,
};

/// The most chunks accepted in one bin (the default is 7, or 16; `MAX_TCACHE_COUNT` is larger).
const MOST_CACHED: u64 = 1 << 12;

/// The most bytes that a thread caches by default: seven chunks of each bin.
pub const LARGEST: u64 = 7 * (CACHE_BINS * size_of_bin(0) + 16 * (CACHE_BINS * (CACHE_BINS - 1) / 2));

/// The chunk sizes that contain a cache.
pub const SIZES: [u64; 3] = [0x290, 0x300, 0x250];

/// The layout of a cache in a chunk of this size.
pub fn layout_of(size: u64) -> Option<&'static Cache> {
    CACHES.iter().find(|layout| layout.chunk == size)
}

/// The bytes in the cache in a chunk; `None` if there is no cache.
pub fn held(pages: &mut Pages<'_>, chunk: u64, layout: &Cache) -> Option<u64> {
    let size = pages.word(chunk.checked_add(8)?)? & !FLAGS;
    if size != layout.chunk {
        return None;
    }
    let at = chunk.checked_add(16)?;
    let mut bytes = 0;
    for bin in 0..CACHE_BINS {
        let first = pages.word(at.checked_add(layout.entries + 8 * bin)?)?;
        let count = match layout.count_width {
            Some(width) => {
                let word = pages.word((at + width * bin) & !7)?;
                let count = word >> (8 * ((at + width * bin) % 8)) & ((1 << (8 * width)) - 1);
                if (count == 0) != (first == 0) || first != 0 && !is_cached(pages, first, bin) {
                    return None;
                }
                count
            }
            None => listed(pages, first, bin)?,
        };
        bytes += count * size_of_bin(bin);
    }
    Some(bytes)
}

/// Whether an entry points to user memory after the head of a chunk of the bin's size.
fn is_cached(pages: &mut Pages<'_>, entry: u64, bin: u64) -> bool {
    let head = entry.checked_sub(8).and_then(|at| pages.word(at));
    entry.is_multiple_of(16) && head.is_some_and(|head| head & !FLAGS == size_of_bin(bin))
}

fn listed(pages: &mut Pages<'_>, first: u64, bin: u64) -> Option<u64> {
    let (mut entry, mut count) = (first, 0);
    while entry != 0 {
        if count >= MOST_CACHED || !is_cached(pages, entry, bin) {
            return None;
        }
        count += 1;
        entry = revealed(entry, pages.word(entry)?)?;
    }
    Some(count)
}

/// Where thread control blocks can be.
#[derive(Debug, Default)]
pub struct Places {
    /// The stacks of threads, which have them at their top.
    pub stacks: Vec<(u64, u64)>,
    /// Small mappings, one of which has the first thread's; the likely ones first.
    pub small: Vec<(u64, u64)>,
}

/// What was found in them.
#[derive(Debug, Default)]
pub struct Caches {
    /// Chunks with the size of a cache, and that size.
    pub chunks: Vec<(u64, u64)>,
    /// The threads whose control block was not looked for, because no time was left.
    pub unseen: u64,
}

/// Chunks with the size of a cache that threads point to, until only this much of the budget is left. `tcache` is a
/// thread-local variable directly below the thread control block at the top of the stack. That block begins with its own
/// address, twice.
pub fn of_threads(pages: &mut Pages<'_>, places: &Places, least_left: u64) -> Caches {
    let mut caches = Caches::default();
    for place in &places.stacks {
        if pages.image.left() <= least_left {
            caches.unseen += 1;
        } else {
            search(pages, *place, &mut caches.chunks);
        }
    }
    for place in &places.small {
        if pages.image.left() <= least_left {
            caches.unseen += 1;
            break;
        }
        if search(pages, *place, &mut caches.chunks) {
            break;
        }
    }
    caches
}

/// Whether there is a control block.
fn search(pages: &mut Pages<'_>, (start, end): (u64, u64), chunks: &mut Vec<(u64, u64)>) -> bool {
    /// Bytes searched at the top of a stack, and below a control block.
    const TOP: u64 = 16 << 10;
    const VARIABLES: u64 = 2048;
    let mut at = end.saturating_sub(TOP).max(start).next_multiple_of(64);
    let mut is_found = false;
    while at < end {
        let is_block = pages.word(at) == Some(at) && pages.word(at + 16) == Some(at);
        is_found |= is_block;
        let variables = (1..=VARIABLES / 8).take_while(|_| is_block).map(|back| at.saturating_sub(8 * back));
        for variable in variables {
            let Some(cache) = pages.word(variable).filter(|cache| *cache > SMALLEST) else { continue };
            let size = if cache.is_multiple_of(16) { pages.word(cache - 8) } else { None };
            let size = size.map_or(0, |head| head & !FLAGS);
            if SIZES.contains(&size) {
                chunks.push((cache - 16, size));
            }
        }
        at += 64;
    }
    is_found
}
