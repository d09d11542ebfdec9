//! Whose memory it is: every byte of an address space has one owner.
//!
//! Input: regions, and what is known of the process's programs. Output: [`Owned`] ranges. Each allocator claims what it
//! recognises, by name, call, caller, flags and shape together; the first in [`ALL`] wins. Ranges, not regions, have an
//! owner: the kernel merges neighbours that are alike. Pure; [`evidence`] alone reads anything.

use std::sync::Arc;

use crate::{
    mm::region::{File, Region},
    units::Grade,
};

pub mod claim;
pub mod counters;
pub mod cpython;
pub mod dotnet;
pub mod evidence;
pub mod glibc;
pub mod go;
pub mod jemalloc;
pub mod jvm;
pub mod mapped;
pub mod mimalloc;
pub mod musl;
pub mod named;
pub mod snmalloc;
pub mod stacks;
pub mod tcmalloc;
pub mod unattributed;
pub mod v8;

use claim::{Claims, Piece};
use evidence::ProcessEvidence;

/// Something that owns memory and can be recognised.
pub trait Allocator: Sync {
    /// Its name in every output.
    fn name(&self) -> &'static str;

    /// Claims what it recognises among the pieces that nobody before it owns. They are in order of address.
    fn claim(&self, process: &ProcessEvidence, pieces: &[Piece<'_>], claims: &mut Claims);
}

/// All of them. Who is sure stands before who guesses, and who has an address or flag of its own before who takes
/// what looks like plain memory.
pub const ALL: &[&dyn Allocator] = &[
    &named::Named,
    &jvm::Files,
    &mapped::Mapped,
    &go::Go,
    &v8::V8,
    &dotnet::Dotnet,
    &glibc::Heaps,
    &snmalloc::Snmalloc,
    &mimalloc::Mimalloc,
    &tcmalloc::Google,
    &stacks::Stacks,
    &jvm::Jvm,
    &jemalloc::Jemalloc,
    &tcmalloc::Gperftools,
    &musl::Musl,
    &cpython::Cpython,
    &glibc::Chunks,
    &unattributed::Unattributed,
];

/// Who a range of memory belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Name of the allocator, or of what else it is: `module`, `file`, `shmem`, `kernel`, `stack`, `unattributed`.
    pub allocator: &'static str,
    /// What the allocator uses it for.
    pub kind: &'static str,
    /// Tells arenas of one kind apart: an address, or an inode. Same owner and arena: one row.
    pub arena: u64,
    /// How sure that is.
    pub grade: Grade,
    /// The file behind it, the module that it belongs to, or the module that mapped it.
    pub file: Option<Arc<File>>,
}

impl Owner {
    /// An owner by shape.
    pub const fn inferred(allocator: &'static str, kind: &'static str, arena: u64) -> Self {
        Self { allocator, kind, arena, grade: Grade::Inferred, file: None }
    }

    /// An owner by name, call or counters.
    pub const fn read(allocator: &'static str, kind: &'static str, arena: u64) -> Self {
        Self { allocator, kind, arena, grade: Grade::Read, file: None }
    }

    /// With the grade that says whether it was seen to be so.
    pub fn graded(self, is_certain: bool) -> Self {
        let Self { allocator, kind, arena, grade: _, file } = self;
        Self { allocator, kind, arena, grade: if is_certain { Grade::Read } else { Grade::Inferred }, file }
    }

    /// With the file or module that it has to do with.
    pub fn of_file(self, file: Option<Arc<File>>) -> Self {
        Self { file, ..self }
    }

    /// True for the same allocator, kind and arena: the key of a row.
    pub fn is_same_row(&self, other: &Self) -> bool {
        (self.allocator, self.kind, self.arena) == (other.allocator, other.kind, other.arena)
    }
}

/// A range with its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// Index of the region that it lies in.
    pub region: usize,
    /// Whose it is.
    pub owner: Owner,
}

impl Owned {
    /// Its length in bytes.
    pub const fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// True for an empty range, which nobody owns.
    pub const fn is_empty(&self) -> bool {
        self.end <= self.start
    }
}

/// Gives every byte of the regions one owner; in order of address, cut at the borders of regions.
pub fn attribute(process: &ProcessEvidence, regions: &[Region]) -> Vec<Owned> {
    let mut pieces = claim::pieces(regions);
    let mut owned = Vec::with_capacity(pieces.len());
    for allocator in ALL {
        let mut claims = Claims::default();
        allocator.claim(process, &pieces, &mut claims);
        pieces = claims.take(&pieces, &mut owned);
    }
    // Unattributed claims all; should it ever not, nothing is lost.
    owned.extend(pieces.iter().map(|piece| piece.owned_by(unattributed::owner(process, piece))));
    owned.sort_unstable_by_key(|owned| owned.start);
    owned.dedup_by(|next, last| {
        let is_one = next.start == last.end && next.region == last.region && next.owner == last.owner;
        if is_one {
            last.end = next.end;
        }
        is_one
    });
    owned.shrink_to_fit();
    owned
}

#[cfg(test)]
mod tests;
