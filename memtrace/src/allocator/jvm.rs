//! HotSpot.
//!
//! Input: none. Output: its [`Allocator`]. [`owner`] recognises its memory, [`counters`] reads its counters, [`advice`]
//! has the settings.

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

/// Class data archives: file mappings, while all its other memory is anonymous.
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
