//! mimalloc, any version.
//!
//! Input: none. Output: its [`Allocator`]. [`owner`] recognises its memory, [`counters`] reads its counters, [`advice`]
//! has the settings.

use super::{
    Allocator, AllocatorId, Mark,
    advice::Advice,
    attribute::{Claimant, Turn, label::Label},
    counters::{Cost, CounterReader},
    evidence::Sign,
};

pub mod advice;
pub mod counters;
pub mod owner;

/// mimalloc, any version.
pub struct Mimalloc;

impl Allocator for Mimalloc {
    fn signs(&self) -> &'static [Sign] {
        const {
            &[Sign {
                exports: &[b"mi_version"],
                symbols: &[b"_mi_prim_alloc\0"],
                constants: &[b"mimalloc: error: "],
                ..Sign::of(Mark::Mimalloc)
            }]
        }
    }

    fn labels(&self) -> &'static [Label] {
        const { &[Label::of(b"mimalloc", AllocatorId::Mimalloc, "arena")] }
    }

    fn owners(&self) -> &'static [(Turn, &'static dyn Claimant)] {
        &[(Turn::Placed, &owner::Mimalloc)]
    }

    fn counters(&self) -> Option<(Cost, &'static dyn CounterReader)> {
        Some((Cost::Walk, &counters::Mimalloc))
    }

    fn advice(&self) -> &'static dyn Advice {
        &advice::Mimalloc
    }
}
