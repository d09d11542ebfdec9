//! V8, in Node or any other program.
//!
//! Input: none. Output: its [`Allocator`]. [`owner`] recognises its memory; its counters are not read.

use super::{
    Allocator, AllocatorId, Mark,
    attribute::{Claimant, Turn, label::Label},
    evidence::Sign,
};

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
}
