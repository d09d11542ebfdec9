//! jemalloc: extents.
//!
//! Input: memory mapped readable and writable without reservation (src/pages.c: MAP_NORESERVE where the kernel
//! overcommits). Output: claims. Which arena an extent belongs to is in jemalloc's own tables only.

use crate::{
    allocator::{
        AllocatorId, Owner,
        attribute::{
            Claimant,
            claim::{Claims, Piece},
        },
        evidence::{Mark, ProcessEvidence},
    },
    mm::region::Prot,
};

const NAME: &str = AllocatorId::Jemalloc.name();
/// Extents grow by 2 MiB at the least; a page may be left of one that another allocator's mapping cut.
const SMALLEST: u64 = 64 << 10;

/// jemalloc, whatever its prefix.
pub struct Jemalloc;

impl Claimant for Jemalloc {
    fn claim(&self, process: &ProcessEvidence, pieces: &[Piece<'_>], claims: &mut Claims) {
        if !process.has(Mark::Jemalloc) {
            return;
        }
        let arena = process.base_of(Mark::Jemalloc);
        for piece in pieces {
            let is_called = is_called(process, piece);
            let is_shaped = piece.is_noreserve() == Some(true)
                && piece.len() >= SMALLEST
                && piece.caller(process).is_none();
            if piece.is_data() && (is_called || is_shaped) {
                claims.piece(piece, Owner::inferred(NAME, "extents", arena).graded(is_called));
            }
        }
    }
}

/// Mapped as jemalloc maps, by the module that it is in.
fn is_called(process: &ProcessEvidence, piece: &Piece<'_>) -> bool {
    piece.born().is_some_and(|born| born.prot == Prot(Prot::READ | Prot::WRITE))
        && piece.is_noreserve() != Some(false)
        && piece.caller(process).is_some_and(|module| module.marks.has(Mark::Jemalloc))
}
