//! CPython: the arenas of obmalloc.
//!
//! Input: mappings of 1 MiB (256 KiB before 3.10) by libpython, or arenas found in memory. Output: claims. Objects of
//! more than 512 bytes come from malloc and are not included.

use crate::allocator::{
    AllocatorId, Owner,
    attribute::{
        Claimant,
        claim::{Claims, Piece},
    },
    evidence::{Content, Found, Mark, ProcessEvidence},
};

const NAME: &str = AllocatorId::Cpython.name();
/// `ARENA_SIZE` since 3.10; a quarter of that before.
const ARENA: u64 = 1 << 20;
const OLD_ARENA: u64 = 256 << 10;

/// CPython's allocator for small objects.
pub struct Cpython;

impl Claimant for Cpython {
    fn claim(&self, process: &ProcessEvidence, pieces: &[Piece<'_>], claims: &mut Claims) {
        if !process.has(Mark::Cpython) {
            return;
        }
        let is_arena = |found: &&Found| found.content == Content::ObmallocArena;
        let was_looked_for = process.found.iter().any(|found| is_arena(&found));
        for piece in pieces.iter().filter(|piece| piece.is_data() && piece.is_noreserve() != Some(true)) {
            match (piece.born(), piece.caller(process)) {
                (Some(born), Some(module)) => {
                    let is_arena = matches!(born.len, ARENA | OLD_ARENA);
                    if is_arena && module.marks.has(Mark::Cpython) {
                        claims.piece(piece, Owner::read(NAME, "obmalloc arena", 0));
                    }
                }
                (None, _) if was_looked_for => {
                    for found in process.found_in(piece.start, piece.end).iter().filter(is_arena) {
                        claims.range(
                            found.start,
                            found.end.min(piece.end),
                            Owner::read(NAME, "obmalloc arena", 0),
                        );
                    }
                }
                // By shape alone: whole arenas, not merged with another mapping.
                (None, _) if piece.len().is_multiple_of(ARENA) => {
                    claims.piece(piece, Owner::inferred(NAME, "obmalloc arena", 0));
                }
                _ => {}
            }
        }
    }
}
