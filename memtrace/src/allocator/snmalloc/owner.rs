//! snmalloc: the page map, and the heap.
//!
//! Input: a page map of 256 GiB with MADV_DONTDUMP (src/snmalloc/ds/pagemap.h), and MAP_NORESERVE memory. Output:
//! claims. Its free pages stay resident until the kernel reclaims them: MADV_FREE.

use crate::{
    allocator::{
        AllocatorId, Owner,
        attribute::{
            Claimant,
            claim::{Claims, Piece, runs},
        },
        evidence::{Mark, ProcessEvidence},
    },
    mm::region::VmFlags,
};

const NAME: &str = AllocatorId::Snmalloc.name();
/// The pieces of the page map are larger than any heap.
const LARGE: u64 = 64 << 30;

/// snmalloc.
pub struct Snmalloc;

impl Claimant for Snmalloc {
    fn claim(&self, process: &ProcessEvidence, pieces: &[Piece<'_>], claims: &mut Claims) {
        if !process.has(Mark::Snmalloc) {
            return;
        }
        for run in runs(pieces) {
            // Touched parts of the page map are dumped again (MADV_DODUMP) and are between parts that are not.
            let map: Vec<_> = run.iter().filter(|piece| is_own(piece) && is_map(piece)).collect();
            let map = map.first().zip(map.last()).map(|(first, last)| first.start..last.end);
            for piece in run.iter().filter(|piece| is_own(piece)) {
                let is_map = map.as_ref().is_some_and(|map| map.contains(&piece.start));
                let kind = if is_map { "page map" } else { "heap" };
                let is_called = piece.caller(process).is_some_and(|module| module.marks.has(Mark::Snmalloc));
                claims.piece(piece, Owner::inferred(NAME, kind, 0).graded(is_called));
            }
        }
    }
}

fn is_own(piece: &Piece<'_>) -> bool {
    piece.is_data() && !piece.is_executable() && piece.is_noreserve() == Some(true)
}

fn is_map(piece: &Piece<'_>) -> bool {
    piece.flag(VmFlags::DONT_DUMP) == Some(true) || piece.len() >= LARGE
}
