//! Pieces of regions, and claims on them.
//!
//! Input: regions, then the claims of one allocator after the other. Output: owned ranges and the remaining pieces. A
//! claim is limited to the remaining pieces, so no byte gets two owners.

use super::{Owned, Owner};
use crate::{
    allocator::evidence::{Module, ProcessEvidence},
    mm::region::{Backing, Born, Prot, Region, VmFlags},
};

/// `MAP_NORESERVE`.
const MAP_NORESERVE: u32 = 0x4000;
/// `MAP_STACK`.
const MAP_STACK: u32 = 0x2_0000;

/// A part of a region without an owner yet.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// First address.
    pub start: u64,
    /// First address after it.
    pub end: u64,
    /// The region that contains it.
    pub region: &'a Region,
    /// That region's index.
    pub index: usize,
}

impl<'a> Piece<'a> {
    /// Its length in bytes, never 0.
    pub const fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// False: there are no empty pieces.
    pub const fn is_empty(&self) -> bool {
        self.end <= self.start
    }

    /// Private memory without a file or a kernel name.
    pub fn is_plain(&self) -> bool {
        self.region.backing == Backing::Anonymous && !self.region.is_shared
    }

    /// Plain, readable and writable.
    pub fn is_data(&self) -> bool {
        let is_data = self.region.prot.0 & !Prot::EXEC == Prot::READ | Prot::WRITE;
        self.is_plain() && is_data
    }

    /// Plain and inaccessible: a reservation or a guard.
    pub fn is_reserve(&self) -> bool {
        self.is_plain() && self.region.prot == Prot::NONE
    }

    /// Whether it is executable.
    pub const fn is_executable(&self) -> bool {
        self.region.prot.0 & Prot::EXEC != 0
    }

    /// A VMA flag from smaps; `None` when not read.
    pub fn flag(&self, flag: u16) -> Option<bool> {
        self.region.vm_flags.map(|flags| flags.has(flag))
    }

    /// Whether it was mapped with `MAP_NORESERVE`, from the flag `nr` or the call.
    pub fn is_noreserve(&self) -> Option<bool> {
        let by_call = || self.born().map(|born| born.flags & MAP_NORESERVE != 0);
        self.flag(VmFlags::NO_RESERVE).or_else(by_call)
    }

    /// Whether the call that it came from was for a stack (`MAP_STACK`); false when the call is not known.
    pub fn is_mapped_as_stack(&self) -> bool {
        self.born().is_some_and(|born| born.flags & MAP_STACK != 0)
    }

    /// The call that it came from.
    pub const fn born(&self) -> Option<&'a Born> {
        self.region.born.as_ref()
    }

    /// The module whose code made that call. Also `None` when the caller is in no module, because the recorded word can
    /// be an arbitrary one of the stack.
    pub fn caller<'p>(&self, process: &'p ProcessEvidence) -> Option<&'p Module> {
        self.born().and_then(|born| process.module_of_code(born.caller))
    }

    /// The whole piece with an owner.
    pub const fn owned_by(&self, owner: Owner) -> Owned {
        Owned { start: self.start, end: self.end, region: self.index, owner }
    }
}

/// All regions as pieces, sorted by address. Regions of one process never overlap; if they do, the lower one wins.
pub fn pieces(regions: &[Region]) -> Vec<Piece<'_>> {
    let mut pieces: Vec<_> = regions
        .iter()
        .enumerate()
        .map(|(index, region)| Piece { start: region.start, end: region.end, region, index })
        .collect();
    pieces.sort_by_key(|piece| piece.start);
    let mut covered = 0;
    for piece in &mut pieces {
        piece.start = piece.start.max(covered);
        covered = covered.max(piece.end);
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// Groups of pieces without a gap between them.
pub fn runs<'s, 'a>(pieces: &'s [Piece<'a>]) -> impl Iterator<Item = &'s [Piece<'a>]> {
    pieces.chunk_by(|left, right| left.end == right.start)
}

/// The claims of one allocator.
#[derive(Debug, Default)]
pub struct Claims {
    claims: Vec<(u64, u64, Owner)>,
}

impl Claims {
    /// Claims a range. Of two overlapping claims the one that starts lower wins, then the earlier one.
    pub fn range(&mut self, start: u64, end: u64, owner: Owner) {
        if start < end {
            self.claims.push((start, end, owner));
        }
    }

    /// Claims a whole piece.
    pub fn piece(&mut self, piece: &Piece<'_>, owner: Owner) {
        self.range(piece.start, piece.end, owner);
    }

    /// Cuts the claims out of the pieces. Returns the remaining pieces.
    pub fn take<'a>(mut self, pieces: &[Piece<'a>], owned: &mut Vec<Owned>) -> Vec<Piece<'a>> {
        self.claims.sort_by_key(|(start, ..)| *start);
        let mut left = Vec::with_capacity(pieces.len());
        let mut claims = self.claims.iter().peekable();
        for piece in pieces {
            let mut at = piece.start;
            while let Some((start, end, owner)) = claims.peek() {
                if *start >= piece.end {
                    break;
                }
                let (start, stop) = ((*start).max(at), (*end).min(piece.end));
                if start < stop {
                    if at < start {
                        left.push(Piece { start: at, end: start, ..*piece });
                    }
                    owned.push(Owned { start, end: stop, region: piece.index, owner: owner.clone() });
                    at = stop;
                }
                if *end > piece.end {
                    break;
                }
                claims.next();
            }
            if at < piece.end {
                left.push(Piece { start: at, ..*piece });
            }
        }
        left
    }
}
