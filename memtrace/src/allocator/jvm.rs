//! HotSpot.
//!
//! Input: none. Output: its [`Allocator`]. [`owner`] recognises its memory, [`counters`] reads its counters,
//! [`objects`] what fills it, [`advice`] has the settings.

use super::{
    Allocator, Mark,
    advice::Advice,
    attribute::{Claimant, Turn},
    counters::{Cost, CounterReader},
    evidence::Sign,
    objects::ObjectReader,
};

pub mod advice;
pub mod counters;
mod fields;
pub mod names;
pub mod objects;
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

    fn objects(&self) -> Option<&'static dyn ObjectReader> {
        Some(&objects::Hotspot)
    }

    fn advice(&self) -> &'static dyn Advice {
        &advice::Jvm
    }
}
