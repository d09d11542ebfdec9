//! HotSpot.
//!
//! Input: none. Output: what is known of it. [`owner`] recognises its memory, [`counters`] reads its books, [`advice`]
//! says what to set.

use super::{
    Allocator, Mark,
    advice::Advice,
    attribute::{Claimant, Turn},
    counters::{Cost, CounterReader},
    evidence::Sign,
};

pub mod advice;
pub mod counters;
pub mod names;
pub mod owner;

/// Archives of classes: files, where all else is anonymous memory.
const SHARED_CLASSES: &str = "shared classes";

/// HotSpot.
pub struct Jvm;

impl Allocator for Jvm {
    fn signs(&self) -> &'static [Sign] {
        const { &[Sign { exports: &[b"gHotSpotVMStructs"], ..Sign::of(Mark::Hotspot) }] }
    }

    fn owners(&self) -> &'static [(Turn, &'static dyn Claimant)] {
        &[(Turn::Files, &owner::Files), (Turn::Shaped, &owner::Jvm)]
    }

    fn mapped(&self) -> &'static [&'static str] {
        &[SHARED_CLASSES]
    }

    fn counters(&self) -> Option<(Cost, &'static dyn CounterReader)> {
        Some((Cost::Figures, &counters::Hotspot))
    }

    fn advice(&self) -> &'static dyn Advice {
        &advice::Jvm
    }
}
