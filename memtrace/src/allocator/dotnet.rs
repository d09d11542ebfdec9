//! .NET: CoreCLR.
//!
//! Input: none. Output: its [`Allocator`]. [`owner`] recognises its memory, [`counters`] reads the bound that its heap was
//! given, [`advice`] says what that means. Its own counters are not read.

use super::{
    Allocator, Mark,
    advice::Advice,
    attribute::{Claimant, Turn},
    counters::{Cost, CounterReader},
    evidence::Sign,
};

pub mod advice;
pub mod counters;
pub mod owner;

/// CoreCLR.
pub struct Dotnet;

impl Allocator for Dotnet {
    fn signs(&self) -> &'static [Sign] {
        const {
            &[Sign {
                files: &[b"libcoreclr.so"],
                exports: &[b"coreclr_initialize", b"DotNetRuntimeInfo"],
                ..Sign::of(Mark::Dotnet)
            }]
        }
    }

    fn owners(&self) -> &'static [(Turn, &'static dyn Claimant)] {
        &[(Turn::Placed, &owner::Dotnet)]
    }

    fn counters(&self) -> Option<(Cost, &'static dyn CounterReader)> {
        Some((Cost::Figures, &counters::Dotnet))
    }

    fn advice(&self) -> &'static dyn Advice {
        &advice::Dotnet
    }
}
