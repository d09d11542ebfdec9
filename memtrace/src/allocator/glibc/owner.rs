//! glibc malloc: the main heap, thread arenas, and chunks with a mapping of their own.
//!
//! Input: `[heap]`, heaps at multiples of 64 MiB (malloc/arena.c), structures found in memory. Output: claims. Claims
//! of [`Heaps`] are certain; [`Chunks`] takes remaining memory that looks like a chunk.

use crate::{
    allocator::{
        AllocatorId, Owner,
        attribute::{
            Claimant, Holder,
            claim::{Claims, Piece, runs},
            mapped,
        },
        evidence::{
            Content, Mark, ProcessEvidence,
            content::{HEAP_SIZE, heap_of},
        },
    },
    mm::region::{Backing, Prot},
};

/// The size that `new_heap` maps, to cut an aligned heap out of it.
const HEAP_REQUEST: u64 = 2 * HEAP_SIZE;
/// The smallest thread arena: 128 KiB of top pad and its header.
const SMALLEST_ARENA: u64 = 0x2_1000;
/// `DEFAULT_MMAP_THRESHOLD`; glibc itself only raises the threshold.
const MMAP_THRESHOLD: u64 = 128 << 10;

const NAME: &str = AllocatorId::Glibc.name();

/// The claimant of certain memory: found in memory, or of a distinctive shape.
pub struct Heaps;

impl Claimant for Heaps {
    fn claim(&self, process: &ProcessEvidence, pieces: &[Piece<'_>], claims: &mut Claims) {
        if !process.has(Mark::Glibc) {
            return;
        }
        // If the call is known, it is better evidence than memory contents of another time.
        for piece in pieces.iter().filter(|piece| piece.is_data() && piece.born().is_none()) {
            for found in process.found_in(piece.start, piece.end) {
                if found.content == Content::MmappedChunk {
                    claims.range(
                        found.start,
                        found.end.min(piece.end),
                        Owner::read(NAME, "mmapped chunk", 0),
                    );
                }
            }
        }
        for run in runs(pieces) {
            for pair in run.windows(2) {
                if let [data, reserve] = pair {
                    arena(process, data, Some(reserve), claims);
                }
            }
            run.iter().for_each(|data| arena(process, data, None, claims));
        }
    }
}

/// Claims a heap's used pages, and the reserve after them up to the next multiple of 64 MiB.
fn arena(process: &ProcessEvidence, data: &Piece<'_>, reserve: Option<&Piece<'_>>, claims: &mut Claims) {
    if !data.is_data() || data.is_executable() {
        return;
    }
    let start = heap_of(data.end.saturating_sub(1));
    let Some(end) = start.checked_add(HEAP_SIZE) else { return };
    let is_whole = match reserve {
        // HotSpot's spaces look similar, but they are reserved and committed with different flags.
        Some(reserve) => {
            reserve.is_reserve() && end <= reserve.end && reserve.is_noreserve() == data.is_noreserve()
        }
        // A full heap looks like any 64 MiB of plain memory, so the call or the heap header must confirm it.
        None => data.end == end && (is_born_a_heap(process, data) || found_arena(process, start).is_some()),
    };
    if start < data.start || !is_whole || data.end - start < SMALLEST_ARENA {
        return;
    }
    full_heaps(process, data, start, claims);
    let found = found_arena(process, start);
    let id = found.map_or(start, heap_of);
    let is_certain = found.is_some() || is_born_a_heap(process, data);
    claims.range(start, data.end, Owner::inferred(NAME, "thread arena", id).graded(is_certain));
    claims.range(data.end, end, Owner::inferred(NAME, "arena reserve", id).graded(is_certain));
}

/// Claims the full heaps below the last one of a piece, with which the kernel has merged them: by their headers, because they
/// look like any plain memory; or by MAP_NORESERVE, which glibc's large chunks do not have, and with which it does not merge
/// others.
fn full_heaps(process: &ProcessEvidence, data: &Piece<'_>, last: u64, claims: &mut Claims) {
    let Some(mut at) = data.start.checked_next_multiple_of(HEAP_SIZE) else { return };
    while at < last {
        let found = found_arena(process, at);
        let next = at.saturating_add(HEAP_SIZE);
        if found.is_some() || data.is_noreserve() == Some(true) {
            let id = found.map_or(at, heap_of);
            let owner = Owner::inferred(NAME, "thread arena", id).graded(found.is_some());
            claims.range(at, next.min(data.end), owner);
        }
        at = next;
    }
}

fn is_born_a_heap(process: &ProcessEvidence, data: &Piece<'_>) -> bool {
    let is_request = data
        .born()
        .is_some_and(|born| born.prot == Prot::NONE && matches!(born.len, HEAP_SIZE | HEAP_REQUEST));
    is_request && data.caller(process).is_some_and(|module| module.marks.has(Mark::Glibc))
}

/// The arena in a heap's header: `heap_info.ar_ptr`.
fn found_arena(process: &ProcessEvidence, heap: u64) -> Option<u64> {
    process.found_in(heap, heap.saturating_add(1)).iter().find_map(|found| match found.content {
        Content::GlibcHeap { arena } => Some(arena),
        Content::MmappedChunk | Content::ObmallocArena => None,
    })
}

/// The claimant of the main heap, and of plain memory with the size of an mmapped chunk.
pub struct Chunks;

impl Claimant for Chunks {
    fn claim(&self, process: &ProcessEvidence, pieces: &[Piece<'_>], claims: &mut Claims) {
        let is_here = process.has(Mark::Glibc) || process.has(Mark::Loader);
        // If another malloc replaces glibc's, glibc's is hardly used; its mappings are then recognised by the caller.
        let is_malloc = is_here && mapped::malloc_module(process).is_none();
        for piece in pieces {
            if piece.region.backing == Backing::Heap {
                // Only libc moves the break, unless another claimant came before.
                let owner = if is_here { Owner::read(NAME, "main heap", piece.start) } else { heap(piece) };
                claims.piece(piece, owner);
                continue;
            }
            if !is_here
                || !piece.is_data()
                || piece.is_mapped_as_stack()
                || piece.is_noreserve() == Some(true)
            {
                continue;
            }
            let kind = if piece.len() < MMAP_THRESHOLD { "loader" } else { "mmapped chunk" };
            match piece.caller(process).map(|module| module.marks) {
                Some(marks) if marks.has(Mark::Glibc) => claims.piece(piece, Owner::read(NAME, kind, 0)),
                Some(marks) if marks.has(Mark::Loader) => claims.piece(piece, Owner::read(NAME, "loader", 0)),
                // Another module mapped it.
                Some(_) => {}
                None if is_malloc || kind == "loader" => claims.piece(piece, Owner::inferred(NAME, kind, 0)),
                None => {}
            }
        }
    }
}

/// A heap of a process whose malloc is not known.
const fn heap(piece: &Piece<'_>) -> Owner {
    Owner::inferred(Holder::Heap.name(), "main heap", piece.start)
}
