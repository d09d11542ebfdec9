//! snmalloc.
//!
//! Input: none. Output: its [`Allocator`]. [`owner`] recognises its memory; its counters are not read.

use super::{
    Allocator, AllocatorId, Mark,
    attribute::{Claimant, Turn, label::Label},
    evidence::Sign,
};

pub mod owner;

/// snmalloc.
pub struct Snmalloc;

impl Allocator for Snmalloc {
    fn signs(&self) -> &'static [Sign] {
        const {
            &[Sign {
                symbols: &[b"N8snmalloc"],
                constants: &[b"Failed to initialise snmalloc"],
                ..Sign::of(Mark::Snmalloc)
            }]
        }
    }

    fn labels(&self) -> &'static [Label] {
        const { &[Label::of(b"snmalloc", AllocatorId::Snmalloc, "heap")] }
    }

    fn owners(&self) -> &'static [(Turn, &'static dyn Claimant)] {
        &[(Turn::Placed, &owner::Snmalloc)]
    }
}
