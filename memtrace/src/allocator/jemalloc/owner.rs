//! jemalloc: extents.
//!
//! Input: memory mapped readable and writable without reservation (src/pages.c: MAP_NORESERVE where the kernel
//! overcommits). Output: claims. Only jemalloc's own tables show which arena an extent belongs to.

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
/// Extents grow by at least 2 MiB; a mapping of another allocator may cut one down to a few pages.
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

/// Whether the call is like jemalloc's and comes from its module.
fn is_called(process: &ProcessEvidence, piece: &Piece<'_>) -> bool {
    piece.born().is_some_and(|born| born.prot == Prot(Prot::READ | Prot::WRITE))
        && piece.is_noreserve() != Some(false)
        && piece.caller(process).is_some_and(|module| module.marks.has(Mark::Jemalloc))
}
