//! Memory that its owner has labelled with `PR_SET_VMA_ANON_NAME`.
//!
//! Input: names of regions. Output: claims that are certain. Names: section "VMA names" of each allocator's source:
//! glibc setvmaname.c, Go runtime/set_vma_name_linux.go, mimalloc prim.c, jemalloc pages.c, tcmalloc
//! system_allocator.h, snmalloc pal_linux.h. A process can fake labels only of its own memory.

use std::sync::LazyLock;

use super::{
    Claimant, Holder, Owner,
    claim::{Claims, Piece},
};
use crate::allocator::{AllocatorId, evidence::ProcessEvidence};

/// A prefix of a name, and its meaning. The longest matching prefix wins.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    prefix: &'static [u8],
    holder: Holder,
    kind: &'static str,
    /// The arena, computed from the start of the memory.
    arena: fn(u64) -> u64,
}

impl Label {
    /// A label of memory with one instance per process: one row.
    pub const fn of(prefix: &'static [u8], id: AllocatorId, kind: &'static str) -> Self {
        Self { prefix, holder: Holder::Allocator(id), kind, arena: |_| 0 }
    }

    /// A label of stacks, which are distinguished by address.
    pub const fn stack(prefix: &'static [u8], kind: &'static str) -> Self {
        Self { prefix, holder: Holder::Stack, kind, arena: |start| start }
    }

    /// A label of arenas, which `arena` distinguishes by address.
    pub const fn apart(self, arena: fn(u64) -> u64) -> Self {
        Self { arena, ..self }
    }
}

/// All labels, longest first.
static LABELS: LazyLock<Vec<&'static Label>> = LazyLock::new(|| {
    let mut all: Vec<_> = AllocatorId::ALL.iter().flat_map(|id| id.allocator().labels()).collect();
    all.sort_by_key(|label| std::cmp::Reverse(label.prefix.len()));
    all
});

/// The claimant of labelled memory.
pub struct Labelled;

impl Claimant for Labelled {
    fn claim(&self, _process: &ProcessEvidence, pieces: &[Piece<'_>], claims: &mut Claims) {
        for piece in pieces {
            let Some(name) = piece.region.name.as_deref().filter(|_| piece.is_plain()) else { continue };
            let Some(label) = LABELS.iter().find(|label| name.starts_with(label.prefix)) else { continue };
            claims.piece(piece, Owner::read(label.holder.name(), label.kind, (label.arena)(piece.start)));
        }
    }
}
