//! jemalloc, under any prefix.
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
pub mod committed;
pub mod counters;
pub mod owner;

/// jemalloc, under any prefix.
pub struct Jemalloc;

impl Allocator for Jemalloc {
    fn signs(&self) -> &'static [Sign] {
        const {
            &[Sign {
                exports: &[b"mallctl", b"je_mallctl"],
                symbols: &[b"je_arenas\0"],
                constants: &[b"<jemalloc>: "],
                ..Sign::of(Mark::Jemalloc)
            }]
        }
    }

    fn labels(&self) -> &'static [Label] {
        const {
            &[
                Label::of(b"jemalloc_pg", AllocatorId::Jemalloc, "extents"),
                // The label on Android.
                Label::of(b"libc_malloc", AllocatorId::Jemalloc, "extents"),
            ]
        }
    }

    fn owners(&self) -> &'static [(Turn, &'static dyn Claimant)] {
        &[(Turn::Placed, &committed::Committed), (Turn::Shaped, &owner::Jemalloc)]
    }

    fn counters(&self) -> Option<(Cost, &'static dyn CounterReader)> {
        Some((Cost::Walk, &counters::Jemalloc))
    }

    fn advice(&self) -> &'static dyn Advice {
        &advice::Jemalloc
    }
}
