//! Whose memory it is: every byte of an address space has one owner.
//!
//! Input: regions, and what is known of the process's programs. Output: [`Owned`] ranges. Each claimant claims what it
//! recognises, by name, call, caller, flags and shape together, in its [`Turn`]. Ranges, not regions, have an owner: the
//! kernel merges neighbours that are alike. Pure.

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

/// When something claims. Who is sure stands before who guesses, and who has an address or flag of its own before who
/// takes what looks like plain memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    /// The owner gave it a name.
    Labelled,
    /// Files that are the memory of a runtime.
    Files,
    /// Everything else that is mapped from somewhere.
    Mapped,
    /// Has an address, a flag or a shape that nobody else's has.
    Placed,
    /// Stacks.
    Stacks,
    /// Plain memory that looks like its own.
    Shaped,
    /// What is left, and as big as what it maps.
    Left,
    /// All the rest.
    Last,
}

/// Something whose memory can be recognised.
pub trait Claimant: Sync {
    /// Claims what it recognises among the pieces that nobody before it owns. They are in order of address.
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

/// Whose a row of memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// An allocator or a runtime.
    Allocator(AllocatorId),
    /// `[heap]` of a process whose malloc is not known.
    Heap,
    /// Stacks.
    Stack,
    /// Programs and libraries, with their data.
    Module,
    /// Mapped files.
    File,
    /// Shared memory and tmpfs.
    Shmem,
    /// The kernel's own.
    Kernel,
    /// Nobody recognised it.
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

    /// Whether its memory of this kind is anonymous, and no file's, module's or shared.
    pub fn is_anonymous(self, kind: &str) -> bool {
        match self {
            Self::Allocator(id) => !id.allocator().mapped().contains(&kind),
            Self::Heap | Self::Stack | Self::Unattributed => true,
            Self::Module | Self::File | Self::Shmem | Self::Kernel => false,
        }
    }

    /// The one of this name; `None` for a name of a newer version.
    pub fn named(name: &str) -> Option<Self> {
        let other = Self::OTHERS.into_iter().find(|holder| holder.name() == name);
        other.or_else(|| AllocatorId::named(name).map(Self::Allocator))
    }
}

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
    for claimant in CLAIMANTS.iter() {
        let mut claims = Claims::default();
        claimant.claim(process, &pieces, &mut claims);
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
