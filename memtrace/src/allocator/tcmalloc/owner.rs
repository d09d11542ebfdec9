//! The two tcmallocs: google/tcmalloc, and the one of gperftools.
//!
//! Input: addresses of google/tcmalloc with a tag in bits 42 to 44 (memory_tag.h); the break, and plain mappings if brk
//! fails, for gperftools (system-alloc.cc). Output: claims.

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
    mm::region::Backing,
};

const NAME: &str = AllocatorId::Tcmalloc.name();
/// Lowest bit of the tag.
const TAG_SHIFT: u32 = 42;
/// Hints are random, below the addresses that the kernel itself chooses.
const HINTS_END: u64 = 0x7000_0000_0000;
/// Bytes that a region reserves.
const REGION: u64 = 1 << 30;
/// The smallest mapping of gperftools: metadata is mapped in 128 KiB or more.
const SMALLEST: u64 = 128 << 10;

/// google/tcmalloc.
pub struct Google;

impl Claimant for Google {
    fn claim(&self, process: &ProcessEvidence, pieces: &[Piece<'_>], claims: &mut Claims) {
        if !process.has(Mark::GoogleTcmalloc) {
            return;
        }
        for piece in pieces.iter().filter(|piece| piece.is_plain() && !piece.is_executable()) {
            let is_called =
                piece.caller(process).is_some_and(|module| module.marks.has(Mark::GoogleTcmalloc))
                    && piece.born().is_some_and(|born| born.len >= REGION);
            let is_hinted = (1 << 40..HINTS_END).contains(&piece.start) && piece.is_noreserve() != Some(true);
            if is_called || is_hinted && piece.born().is_none() {
                let kind = kind(piece.start);
                claims.piece(piece, Owner::inferred(NAME, kind, 0).graded(is_called));
            }
        }
    }
}

const fn kind(start: u64) -> &'static str {
    match start >> TAG_SHIFT & 7 {
        0 | 1 => "sampled region",
        2 => "cold region",
        3 => "metadata",
        _ => "normal region",
    }
}

/// The tcmalloc of gperftools.
pub struct Gperftools;

impl Claimant for Gperftools {
    fn claim(&self, process: &ProcessEvidence, pieces: &[Piece<'_>], claims: &mut Claims) {
        let malloc = mapped::malloc_module(process);
        if !malloc.is_some_and(|module| module.marks.has(Mark::Gperftools)) {
            return;
        }
        for piece in pieces {
            let caller = piece.caller(process);
            let is_called = caller.is_some_and(|module| module.marks.has(Mark::Gperftools));
            if piece.region.backing == Backing::Heap {
                claims.piece(piece, Owner::inferred(NAME, "page heap", 0));
            } else if piece.is_data() && piece.is_noreserve() != Some(true) {
                if is_called {
                    claims.piece(piece, Owner::read(NAME, "page heap", 0));
                } else if caller.is_none() && piece.len() >= SMALLEST {
                    claims.piece(piece, Owner::inferred(NAME, "page heap", 0));
                }
            }
        }
    }
}
