//! musl: mallocng's groups and metadata, or the older malloc's heap.
//!
//! Input: `[heap]`, and plain memory of a process that runs on musl. Output: claims. mallocng keeps only metadata in
//! the heap, after an inaccessible page, by which a static binary without symbols is recognised too.

use crate::{
    allocator::{
        AllocatorId, Owner,
        attribute::{
            Claimant,
            claim::{Claims, Piece},
            mapped,
        },
        evidence::{Mark, ProcessEvidence},
    },
    mm::region::{Backing, Prot},
};

const NAME: &str = AllocatorId::Musl.name();

/// musl's malloc.
pub struct Musl;

impl Claimant for Musl {
    fn claim(&self, process: &ProcessEvidence, pieces: &[Piece<'_>], claims: &mut Claims) {
        let is_heap = |piece: &&Piece<'_>| piece.region.backing == Backing::Heap;
        let has_guard = pieces.iter().find(is_heap).is_some_and(|heap| heap.region.prot == Prot::NONE);
        let is_glibc = process.has(Mark::Glibc) || process.has(Mark::Loader);
        if is_glibc || !process.has(Mark::Musl) && !has_guard || mapped::malloc_module(process).is_some() {
            return;
        }
        for piece in pieces {
            if is_heap(&piece) {
                let kind = if has_guard { "metadata" } else { "main heap" };
                claims.piece(piece, Owner::inferred(NAME, kind, 0).graded(process.has(Mark::Musl)));
                continue;
            }
            let is_stack = piece.is_mapped_as_stack();
            let is_called = piece.caller(process).map(|module| module.marks.has(Mark::Musl));
            if piece.is_data() && piece.is_noreserve() != Some(true) && !is_stack && is_called != Some(false)
            {
                claims.piece(piece, Owner::inferred(NAME, "group", 0).graded(is_called == Some(true)));
            }
        }
    }
}
