//! The Go runtime.
//!
//! Input: none. Output: its [`Allocator`]. [`owner`] recognises its memory, [`counters`] reads its counters, [`advice`]
//! has the settings, `objects` what fills its heap.

use super::{
    Allocator, AllocatorId, Mark,
    advice::Advice,
    attribute::{Claimant, Turn, label::Label},
    counters::{Cost, CounterReader},
    evidence::Sign,
    objects::ObjectReader,
};

pub mod advice;
pub mod counters;
mod objects;
pub mod owner;

/// The Go runtime.
pub struct Go;

impl Allocator for Go {
    fn signs(&self) -> &'static [Sign] {
        const {
            &[Sign {
                sections: &[b".go.buildinfo", b".note.go.buildid", b".gopclntab"],
                exports: &[b"runtime.mheap_"],
                ..Sign::of(Mark::Go)
            }]
        }
    }

    fn labels(&self) -> &'static [Label] {
        const OF: AllocatorId = AllocatorId::Go;
        const {
            &[
                Label::of(b" Go: heap reservation", OF, "heap reserve"),
                Label::of(b" Go: heap", OF, "heap"),
                Label::stack(b" Go: OS thread stack", "thread stack"),
                Label::of(b" Go:", OF, "runtime metadata"),
            ]
        }
    }

    fn owners(&self) -> &'static [(Turn, &'static dyn Claimant)] {
        &[(Turn::Placed, &owner::Go)]
    }

    fn counters(&self) -> Option<(Cost, &'static dyn CounterReader)> {
        Some((Cost::Figures, &counters::Go))
    }

    fn objects(&self) -> Option<&'static dyn ObjectReader> {
        Some(&objects::Go)
    }

    fn advice(&self) -> &'static dyn Advice {
        &advice::Go
    }
}
