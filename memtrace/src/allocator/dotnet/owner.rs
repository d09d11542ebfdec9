//! .NET: the garbage collector's range.
//!
//! Input: a reservation with MADV_DONTDUMP of 256 GiB, or of twice the physical memory, with committed parts in it
//! (gc/unix/gcenv.unix.cpp). Output: claims.

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

const NAME: &str = AllocatorId::Dotnet.name();
/// Much smaller than any such reservation, much larger than a thread arena of glibc with its reserve.
const SMALLEST: u64 = 4 << 30;

/// CoreCLR.
pub struct Dotnet;

impl Claimant for Dotnet {
    fn claim(&self, process: &ProcessEvidence, pieces: &[Piece<'_>], claims: &mut Claims) {
        if !process.has(Mark::Dotnet) {
            return;
        }
        for run in runs(pieces) {
            let is_range = |piece: &Piece<'_>| {
                piece.is_reserve()
                    && (piece.flag(VmFlags::DONT_DUMP) == Some(true) || piece.len() >= SMALLEST)
            };
            let len: u64 = run.iter().filter(|piece| is_range(piece)).map(Piece::len).sum();
            let (first, last) = (run.iter().position(is_range), run.iter().rposition(is_range));
            let (Some(first), Some(last), SMALLEST..) = (first, last, len) else { continue };
            // The range begins with its first committed part.
            let range = run.get(first.saturating_sub(1)..=last).unwrap_or_default();
            for piece in range.iter().filter(|piece| piece.is_plain() && piece.is_noreserve() != Some(true)) {
                let kind = if piece.is_reserve() { "gc reserve" } else { "gc heap" };
                let is_called = piece.caller(process).is_some_and(|module| module.marks.has(Mark::Dotnet));
                claims.piece(piece, Owner::inferred(NAME, kind, 0).graded(is_called));
            }
        }
    }
}
