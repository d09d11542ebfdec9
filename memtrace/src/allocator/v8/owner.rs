//! V8: heap pages and the code range.
//!
//! Input: MADV_DONTFORK on MAP_NORESERVE memory (platform-posix.cc), or the call that reserved it. Output: claims.

use crate::{
    allocator::{
        AllocatorId, Owner,
        attribute::{
            Claimant,
            claim::{Claims, Piece, runs},
        },
        evidence::{Mark, ProcessEvidence},
    },
    mm::region::{Prot, VmFlags},
};

const NAME: &str = AllocatorId::V8.name();
/// A code range has at least 128 MiB, a page of any kind much less.
const CODE_RANGE: u64 = 64 << 20;

/// V8, in Node or any other program.
pub struct V8;

impl Claimant for V8 {
    fn claim(&self, process: &ProcessEvidence, pieces: &[Piece<'_>], claims: &mut Claims) {
        if !process.has(Mark::V8) {
            return;
        }
        for run in runs(pieces) {
            for own in run.chunk_by(|left, right| is_own(process, left) == is_own(process, right)) {
                if !own.iter().all(|piece| is_own(process, piece)) {
                    continue;
                }
                let len: u64 = own.iter().map(Piece::len).sum();
                let is_code = len >= CODE_RANGE || own.iter().any(Piece::is_executable);
                for piece in own {
                    let kind = match () {
                        () if is_code => "code range",
                        () if piece.is_reserve() => "page reserve",
                        () => "page",
                    };
                    claims.piece(piece, Owner::inferred(NAME, kind, 0).graded(is_called(process, piece)));
                }
            }
        }
    }
}

fn is_own(process: &ProcessEvidence, piece: &Piece<'_>) -> bool {
    let is_marked = piece.flag(VmFlags::DONT_COPY) == Some(true);
    piece.is_plain() && piece.is_noreserve() == Some(true) && (is_marked || is_called(process, piece))
}

/// Whether V8's own code reserved it: `mmap(hint, n, NONE, NORESERVE)`.
fn is_called(process: &ProcessEvidence, piece: &Piece<'_>) -> bool {
    piece.born().is_some_and(|born| born.prot == Prot::NONE)
        && piece.caller(process).is_some_and(|module| module.marks.has(Mark::V8))
}
