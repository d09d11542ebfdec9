//! Searches memory for structures of allocators.
//!
//! Input: a live process and its regions. Output: [`Found`]. Reads only resident pages (a read would fault in others),
//! a few words each, with limits on count and time. The process keeps running, so a read may be torn, and no single
//! field is trusted.

use std::{fs::File, os::unix::fs::FileExt as _};

use super::{
    Mark, ProcessEvidence,
    content::{self, HEAP_SIZE, heap_of},
    deadline::Deadline,
};
use crate::{
    allocator::{
        attribute::claim::{self, Piece},
        evidence::Found,
    },
    mm::{
        page_table::{PageTable, is_present},
        procfs::Procfs,
        region::Region,
    },
};

/// The most places of a process where words are read.
const MOST_LOOKS: u32 = 20_000;
/// Consecutive pages without a known structure after which a region is skipped.
const MOST_MISSES: u32 = 64;

/// Memory of a live process.
struct Memory {
    words: File,
    pages: PageTable,
    left: u32,
    deadline: Deadline,
    is_late: bool,
}

/// The structures found in the regions, and whether the time was enough; empty if the memory may not be read.
pub fn look(
    procfs: &Procfs,
    pid: u32,
    process: &ProcessEvidence,
    regions: &[Region],
    deadline: Deadline,
) -> (Vec<Found>, bool) {
    let mut found = Vec::new();
    let words = File::open(procfs.root().join(pid.to_string()).join("mem"));
    let (Ok(words), Ok(pages)) = (words, PageTable::open(procfs, pid)) else { return (found, true) };
    let mut memory = Memory { words, pages, left: MOST_LOOKS, deadline, is_late: false };
    for piece in claim::pieces(regions) {
        if !piece.is_data() || piece.is_executable() || piece.born().is_some() {
            continue;
        }
        if process.has(Mark::Glibc) {
            heaps(&mut memory, &piece, &mut found);
        }
        if piece.is_noreserve() != Some(true) {
            chunks(&mut memory, &piece, process.has(Mark::Glibc), process.has(Mark::Cpython), &mut found);
        }
    }
    (found, !memory.is_late)
}

/// Searches glibc heaps, at every multiple of 64 MiB.
fn heaps(memory: &mut Memory, piece: &Piece<'_>, found: &mut Vec<Found>) {
    let mut at = piece.start.next_multiple_of(HEAP_SIZE);
    while at < piece.end {
        let Some(words) = memory.read(at) else { break };
        found.extend(content::glibc_heap(at, words.unwrap_or_default(), memory.pages.page_size()));
        at = at.saturating_add(HEAP_SIZE);
    }
}

/// Searches consecutive chunks and arenas; skips a limited number of other pages.
fn chunks(memory: &mut Memory, piece: &Piece<'_>, is_glibc: bool, is_cpython: bool, found: &mut Vec<Found>) {
    let (mut at, mut misses) = (piece.start, 0);
    while at < piece.end && misses < MOST_MISSES {
        let Some(words) = memory.read(at) else { return };
        let chunk = words.filter(|_| is_glibc);
        let next =
            chunk.and_then(|words| content::mmapped_chunk(at, words, memory.pages.page_size(), piece.end));
        let next = next.or_else(|| if is_cpython { arena(memory, at, piece.end) } else { None });
        match next {
            Some(next) => {
                at = next.end;
                misses = 0;
                found.push(next);
            }
            None if heap_of(at) == at && is_glibc => return,
            None => {
                at = at.saturating_add(memory.pages.page_size());
                misses += 1;
            }
        }
    }
}

fn arena(memory: &mut Memory, at: u64, limit: u64) -> Option<Found> {
    content::first_pools(at).find_map(|(pool, size, arena)| {
        let end = at.checked_add(arena).filter(|end| *end <= limit)?;
        let is_arena = content::is_pool(pool, memory.read(pool)??, size);
        is_arena.then_some(Found { start: at, end, content: content::Content::ObmallocArena })
    })
}

impl Memory {
    /// Words at an address: `Some(None)` when its page is not resident, `None` when the budget is spent.
    fn read<const N: usize>(&mut self, address: u64) -> Option<Option<[u64; N]>> {
        self.left = self.left.checked_sub(1)?;
        if self.left.is_multiple_of(64) && self.deadline.is_over() {
            (self.left, self.is_late) = (0, true);
            return None;
        }
        let mut entry = [0; 8];
        let page = address / self.pages.page_size();
        self.pages.entries(page, &mut entry).ok().filter(|count| *count == entry.len())?;
        if !is_present(entry) {
            return Some(None);
        }
        let mut words = [0; N];
        let mut bytes = [0; 64];
        let bytes = bytes.get_mut(..N * 8)?;
        if self.words.read_exact_at(bytes, address).is_err() {
            return Some(None);
        }
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_ne_bytes(*bytes);
        }
        Some(Some(words))
    }
}
