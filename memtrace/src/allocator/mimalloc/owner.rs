//! mimalloc: arenas and metadata.
//!
//! Input: memory without reservation at mimalloc's own addresses (src/os.c: hints from 2 to 30 TiB), or 1 GiB of it
//! elsewhere (3.1). Output: claims.

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

const NAME: &str = AllocatorId::Mimalloc.name();
const TIB: u64 = 1 << 40;
/// From `MI_HINT_BASE` to `MI_HINT_MAX`, plus the size that a mapping at the last hint may have.
const HINTS: std::ops::Range<u64> = 2 * TIB..31 * TIB;
/// The default size of an arena.
const ARENA: u64 = 1 << 30;
/// The smallest range that is accepted as an arena by its address alone: a segment of 1.x.
const SEGMENT: u64 = 4 << 20;

/// mimalloc, any version.
pub struct Mimalloc;

impl Claimant for Mimalloc {
    fn claim(&self, process: &ProcessEvidence, pieces: &[Piece<'_>], claims: &mut Claims) {
        let is_here = process.has(Mark::Mimalloc);
        for piece in pieces {
            if !piece.is_plain() || piece.is_executable() || piece.is_noreserve() != Some(true) {
                continue;
            }
            let is_hinted = HINTS.contains(&piece.start) && HINTS.contains(&piece.end);
            let is_called = is_called(process, piece);
            if is_hinted && (is_here && piece.len() >= SEGMENT || piece.len() >= ARENA) {
                claims.piece(piece, Owner::inferred(NAME, "arena", piece.start).graded(is_called));
            } else if is_here && piece.len() >= ARENA && piece.is_data() && piece.caller(process).is_none() {
                claims.piece(piece, Owner::inferred(NAME, "arena", piece.start));
            } else if is_called {
                let kind = if piece.len() >= ARENA { "arena" } else { "metadata" };
                claims.piece(piece, Owner::read(NAME, kind, piece.start));
            } else if is_here && piece.is_data() && is_alone(process) && piece.born().is_none() {
                claims.piece(piece, Owner::inferred(NAME, "metadata", 0));
            }
        }
    }
}

fn is_called(process: &ProcessEvidence, piece: &Piece<'_>) -> bool {
    piece.born().is_some_and(|born| born.prot == Prot(Prot::READ | Prot::WRITE))
        && piece.caller(process).is_some_and(|module| module.marks.has(Mark::Mimalloc))
}

/// Whether no other allocator maps such memory here; glibc up to 2.36 does, but its arenas are claimed earlier.
fn is_alone(process: &ProcessEvidence) -> bool {
    [Mark::Jemalloc, Mark::Snmalloc, Mark::Hotspot, Mark::V8].into_iter().all(|mark| !process.has(mark))
}
