//! Attribution: every byte of an address space gets one owner.
//!
//! Input: regions, and evidence about the process's programs. Output: [`Owned`] ranges. Each claimant claims the memory
//! it recognises, by name, call, caller, flags and shape together, in its [`Turn`]. Ranges, not regions, have an owner,
//! because the kernel merges equal neighbours. Pure.

use std::sync::{Arc, LazyLock};

use super::{AllocatorId, evidence::ProcessEvidence};
use crate::{
    mm::region::{File, Region},
    units::Grade,
};

pub mod claim;
pub mod label;
pub mod mapped;
pub mod stacks;
pub mod unattributed;

use claim::{Claims, Piece};

/// The order of claimants. Certain ones come before guesses, and those with a distinctive address or flag before those
/// that claim plain memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    /// Memory that its owner has labelled.
    Labelled,
    /// Files that are the memory of a runtime.
    Files,
    /// All other mappings with a backing.
    Mapped,
    /// Memory with a distinctive address, flag or shape.
    Placed,
    /// Stacks.
    Stacks,
    /// Plain memory with a shape that fits.
    Shaped,
    /// Remaining memory of a size that fits.
    Left,
    /// All the rest.
    Last,
}

/// An owner whose memory can be recognised.
pub trait Claimant: Sync {
    /// Claims memory in the pieces that have no owner yet. They are sorted by address.
    fn claim(&self, process: &ProcessEvidence, pieces: &[Piece<'_>], claims: &mut Claims);
}

/// All claimants in order.
static CLAIMANTS: LazyLock<Vec<&'static dyn Claimant>> = LazyLock::new(|| {
    let others: [(Turn, &'static dyn Claimant); 4] = [
        (Turn::Labelled, &label::Labelled),
        (Turn::Mapped, &mapped::Mapped),
        (Turn::Stacks, &stacks::Stacks),
        (Turn::Last, &unattributed::Unattributed),
    ];
    let owners = AllocatorId::ALL.iter().flat_map(|id| id.allocator().owners());
    let mut all: Vec<_> = owners.copied().chain(others).collect();
    all.sort_by_key(|(turn, _)| *turn);
    all.into_iter().map(|(_, claimant)| claimant).collect()
});

/// The owner of a row of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// An allocator or a runtime.
    Allocator(AllocatorId),
    /// `[heap]` of a process whose malloc is not known.
    Heap,
    /// Stacks.
    Stack,
    /// Programs and libraries with their data.
    Module,
    /// Mapped files.
    File,
    /// Shared memory and tmpfs.
    Shmem,
    /// Mappings of the kernel.
    Kernel,
    /// Memory that no claimant recognised.
    Unattributed,
}

impl Holder {
    const OTHERS: [Self; 7] =
        [Self::Heap, Self::Stack, Self::Module, Self::File, Self::Shmem, Self::Kernel, Self::Unattributed];

    /// Its name in every output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allocator(id) => id.name(),
            Self::Heap => "heap",
            Self::Stack => "stack",
            Self::Module => "module",
            Self::File => "file",
            Self::Shmem => "shmem",
            Self::Kernel => "kernel",
            Self::Unattributed => "unattributed",
        }
    }

    /// Whether its memory of this kind is anonymous: not of a file or module, and not shared.
    pub fn is_anonymous(self, kind: &str) -> bool {
        match self {
            Self::Allocator(id) => !id.allocator().mapped().contains(&kind),
            Self::Heap | Self::Stack | Self::Unattributed => true,
            Self::Module | Self::File | Self::Shmem | Self::Kernel => false,
        }
    }

    /// The owner with this name; `None` for a name from a newer version.
    pub fn named(name: &str) -> Option<Self> {
        let other = Self::OTHERS.into_iter().find(|holder| holder.name() == name);
        other.or_else(|| AllocatorId::named(name).map(Self::Allocator))
    }
}

/// The owner of a range of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Name of the allocator, or one of `module`, `file`, `shmem`, `kernel`, `stack`, `unattributed`.
    pub allocator: &'static str,
    /// What the allocator uses it for.
    pub kind: &'static str,
    /// Distinguishes arenas of one kind: an address, or an inode. Ranges with the same owner and arena form one row.
    pub arena: u64,
    /// How certain the attribution is.
    pub grade: Grade,
    /// The file behind it, the module that it belongs to, or the module that mapped it.
    pub file: Option<Arc<File>>,
}

impl Owner {
    /// An owner inferred from the shape.
    pub const fn inferred(allocator: &'static str, kind: &'static str, arena: u64) -> Self {
        Self { allocator, kind, arena, grade: Grade::Inferred, file: None }
    }

    /// An owner known from a name, a call or counters.
    pub const fn read(allocator: &'static str, kind: &'static str, arena: u64) -> Self {
        Self { allocator, kind, arena, grade: Grade::Read, file: None }
    }

    /// Sets the grade: read if certain, else inferred.
    pub fn graded(self, is_certain: bool) -> Self {
        let Self { allocator, kind, arena, grade: _, file } = self;
        Self { allocator, kind, arena, grade: if is_certain { Grade::Read } else { Grade::Inferred }, file }
    }

    /// Sets the file or module that it belongs to.
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
    /// First address after it.
    pub end: u64,
    /// Index of the region that contains it.
    pub region: usize,
    /// Its owner.
    pub owner: Owner,
}

impl Owned {
    /// Its length in bytes.
    pub const fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// True for an empty range, which has no owner.
    pub const fn is_empty(&self) -> bool {
        self.end <= self.start
    }
}

/// Gives every byte of the regions one owner. The ranges are sorted by address and split at the borders of regions.
pub fn attribute(process: &ProcessEvidence, regions: &[Region]) -> Vec<Owned> {
    let mut pieces = claim::pieces(regions);
    let mut owned = Vec::with_capacity(pieces.len());
    for claimant in CLAIMANTS.iter() {
        let mut claims = Claims::default();
        claimant.claim(process, &pieces, &mut claims);
        pieces = claims.take(&pieces, &mut owned);
    }
    // `Unattributed` claims all the rest; if it ever did not, no bytes would be lost.
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
