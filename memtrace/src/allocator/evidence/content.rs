//! Recognises structures that allocators write into their own memory.
//!
//! Input: words from memory. Output: the structure that begins there. The process controls every word, so each rule
//! needs several that agree. Pure.

use serde::{Deserialize, Serialize};

/// `HEAP_MAX_SIZE` of glibc: `2 * DEFAULT_MMAP_THRESHOLD_MAX` on 64 bits, 2.31 to 2.42.
pub const HEAP_SIZE: u64 = 64 << 20;

/// The start of the glibc heap that contains an address, if one does.
pub const fn heap_of(address: u64) -> u64 {
    address & !(HEAP_SIZE - 1)
}

/// A recognised structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// A chunk of glibc's malloc with a mapping of its own.
    MmappedChunk,
    /// A heap of glibc's thread arenas.
    GlibcHeap {
        /// The arena that it belongs to (`heap_info.ar_ptr`).
        arena: u64,
    },
    /// An arena of CPython's obmalloc.
    ObmallocArena,
}

/// A structure that was found, with its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// First address.
    pub start: u64,
    /// First address after it.
    pub end: u64,
    /// What it is.
    pub content: Content,
}

/// `IS_MMAPPED` of malloc.c.
const IS_MMAPPED: u64 = 2;
const FLAGS: u64 = 7;
/// Sizes of obmalloc's pools: since CPython 3.10, and before.
pub const POOLS: [u64; 2] = [16 << 10, 4 << 10];
/// Sizes of pools with those of their arenas.
const OBMALLOC: [(u64, u64); 2] = [(POOLS[0], 1 << 20), (POOLS[1], 256 << 10)];
/// `sizeof(struct pool_header)` rounded up, and the alignment of objects.
const POOL_OVERHEAD: u64 = 48;
const POOL_ALIGNMENT: u64 = 16;

/// `struct malloc_chunk` at the start of a mapping: `prev_size` 0, `size | IS_MMAPPED`, and it ends within the region.
pub fn mmapped_chunk(at: u64, [prev_size, size]: [u64; 2], page: u64, limit: u64) -> Option<Found> {
    let len = size & !FLAGS;
    let end = at.checked_add(len)?;
    let is_chunk =
        prev_size == 0 && size & FLAGS == IS_MMAPPED && len >= page && len.is_multiple_of(page.max(1));
    (is_chunk && end <= limit).then_some(Found { start: at, end, content: Content::MmappedChunk })
}

/// `heap_info` of arena.c: `ar_ptr`, `prev`, `size`, `mprotect_size`. The first heap of an arena contains the arena,
/// directly after this header.
pub fn glibc_heap(at: u64, [arena, previous, size, _]: [u64; 4], page: u64) -> Option<Found> {
    let is_sized = size >= page && size <= HEAP_SIZE && size.is_multiple_of(page.max(1));
    let is_first = previous == 0 && heap_of(arena) == at && arena > at && arena - at <= 0x100;
    let is_next = previous != 0 && previous == heap_of(previous) && arena != 0 && heap_of(arena) != at;
    let found = Found { start: at, end: at.checked_add(HEAP_SIZE)?, content: Content::GlibcHeap { arena } };
    (at == heap_of(at) && is_sized && (is_first || is_next)).then_some(found)
}

/// The address of the first pool of an arena at this address, with the sizes of pool and arena, for each size of pools.
pub fn first_pools(at: u64) -> impl Iterator<Item = (u64, u64, u64)> {
    OBMALLOC
        .into_iter()
        .filter_map(move |(pool, arena)| Some((at.checked_next_multiple_of(pool)?, pool, arena)))
}

/// Bytes in use of a pool, from its `struct pool_header` (pycore_obmalloc.h); `None` if it is no pool.
pub fn in_pool(at: u64, [count, free, _, _, index, offsets]: [u64; 6], pool: u64) -> Option<u64> {
    let (count, size_index) = (count & 0xffff_ffff, index >> 32);
    let (next_offset, last_offset) = (offsets & 0xffff_ffff, offsets >> 32);
    let size = (size_index.min(64) + 1) * POOL_ALIGNMENT;
    let is_pool = size_index < 32
        && last_offset == pool - size
        && (POOL_OVERHEAD..=pool).contains(&next_offset)
        && count <= (pool - POOL_OVERHEAD) / size
        && (free == 0 || (at..at.saturating_add(pool)).contains(&free));
    is_pool.then_some(count * size)
}

/// Whether it is certain enough to identify an arena: it is linked to other pools of its class.
pub fn is_pool(at: u64, words: [u64; 6], pool: u64) -> bool {
    let [_, _, next, previous, ..] = words;
    in_pool(at, words, pool).is_some() && next != 0 && previous != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 4096;

    #[test]
    fn a_chunk_says_its_size_and_that_it_is_mapped() {
        let found = mmapped_chunk(0x10_0000, [0, 0x3_1002], PAGE, 0x20_0000).unwrap();
        assert_eq!((found.start, found.end), (0x10_0000, 0x13_1000));
        for (words, limit) in [
            ([1, 0x3_1002], 0x20_0000),
            ([0, 0x3_1003], 0x20_0000),
            ([0, 0x3_1012], 0x20_0000),
            ([0, 0x3_1002], 0x12_0000),
            ([0, 2], 0x20_0000),
            ([0, !5], u64::MAX),
        ] {
            assert_eq!(mmapped_chunk(0x10_0000, words, PAGE, limit), None, "{words:x?}");
        }
    }

    #[test]
    fn a_heap_names_its_arena() {
        let at = 0x7f00_0000_0000;
        let first = glibc_heap(at, [at + 0x30, 0, 0x2_1000, 0x2_1000], PAGE).unwrap();
        assert_eq!(first.content, Content::GlibcHeap { arena: at + 0x30 });
        let next = glibc_heap(at + HEAP_SIZE, [at + 0x30, at, 0x2_1000, 0x2_1000], PAGE).unwrap();
        assert_eq!(next.content, Content::GlibcHeap { arena: at + 0x30 });
        assert_eq!(glibc_heap(at, [0, 0, 0, 0], PAGE), None);
        assert_eq!(glibc_heap(at, [u64::MAX; 4], PAGE), None);
    }

    #[test]
    fn a_pool_agrees_with_itself() {
        let at = 0x7f00_0000_0000;
        // 32-byte objects: index 1, 16384 - 32 = 16352.
        let words = [510, at + 48, at, at, 1 << 32 | 7, 16352 << 32 | 16336];
        assert!(is_pool(at, words, 16 << 10));
        assert!(!is_pool(at, words, 4 << 10));
        assert!(!is_pool(at, [0; 6], 16 << 10));
        assert!(!is_pool(at, [u64::MAX; 6], 16 << 10));
    }
}
