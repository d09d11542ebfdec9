//! Memory whose owner has named it with `PR_SET_VMA_ANON_NAME`.
//!
//! Input: names of regions. Output: claims that are certain. Names: section "VMA names" of each allocator's source:
//! glibc setvmaname.c, Go runtime/set_vma_name_linux.go, mimalloc prim.c, jemalloc pages.c, tcmalloc
//! system_allocator.h, snmalloc pal_linux.h. A process may lie about itself, and only about itself.

use std::sync::LazyLock;

use super::{
    Claimant, Holder, Owner,
    claim::{Claims, Piece},
};
use crate::allocator::{AllocatorId, evidence::ProcessEvidence};

/// What a name begins with, and what it says. The longest that fits wins.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    prefix: &'static [u8],
    holder: Holder,
    kind: &'static str,
    /// Tells arenas apart, by the start of the memory.
    arena: fn(u64) -> u64,
}

impl Label {
    /// Of memory that has one instance a process: one row.
    pub const fn of(prefix: &'static [u8], id: AllocatorId, kind: &'static str) -> Self {
        Self { prefix, holder: Holder::Allocator(id), kind, arena: |_| 0 }
    }

    /// Of stacks, which are apart by address.
    pub const fn stack(prefix: &'static [u8], kind: &'static str) -> Self {
        Self { prefix, holder: Holder::Stack, kind, arena: |start| start }
    }

    /// Of arenas, which are apart by what this says of an address in them.
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

/// Whoever gave its memory a name.
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
