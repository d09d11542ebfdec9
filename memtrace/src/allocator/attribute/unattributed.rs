//! Memory that no claimant recognised, with the module that mapped it if known.
//!
//! Input: the remaining pieces. Output: claims on all of them. This row is shown under its own name, never hidden.

use std::sync::Arc;

use super::{
    Claimant, Holder, Owner,
    claim::{Claims, Piece},
};
use crate::allocator::evidence::ProcessEvidence;

const NAME: &str = Holder::Unattributed.name();

/// The owner of last resort.
pub struct Unattributed;

impl Claimant for Unattributed {
    fn claim(&self, process: &ProcessEvidence, pieces: &[Piece<'_>], claims: &mut Claims) {
        for piece in pieces {
            claims.piece(piece, owner(process, piece));
        }
    }
}

/// Grouped by the module that mapped it.
pub fn owner(process: &ProcessEvidence, piece: &Piece<'_>) -> Owner {
    let caller = piece.caller(process);
    let kind = match () {
        () if piece.is_reserve() => "reserved",
        () if piece.is_executable() => "anonymous code",
        () => "anonymous",
    };
    Owner::inferred(NAME, kind, caller.map_or(0, |module| module.base()))
        .of_file(caller.map(|module| Arc::clone(&module.file)))
}
