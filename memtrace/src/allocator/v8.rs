//! V8, in Node or any other program.
//!
//! Input: none. Output: its [`Allocator`]. [`owner`] recognises its memory, [`counters`] reads the bound that its heap was
//! given, [`advice`] says what that means. Its own counters are not read.

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

/// V8, in Node or any other program.
pub struct V8;

impl Allocator for V8 {
    fn signs(&self) -> &'static [Sign] {
        const {
            &[Sign {
                exports: &[b"v8dbg_SmiTag"],
                export_prefixes: &[b"v8dbg_", b"_ZN2v87Isolate"],
                symbols: &[b"_ZN2v88internal4Heap"],
                ..Sign::of(Mark::V8)
            }]
        }
    }

    fn labels(&self) -> &'static [Label] {
        const { &[Label::of(b"v8", AllocatorId::V8, "page")] }
    }

    fn owners(&self) -> &'static [(Turn, &'static dyn Claimant)] {
        &[(Turn::Placed, &owner::V8)]
    }

    fn counters(&self) -> Option<(Cost, &'static dyn CounterReader)> {
        Some((Cost::Figures, &counters::V8))
    }

    fn advice(&self) -> &'static dyn Advice {
        &advice::V8
    }
}
