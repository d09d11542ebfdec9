//! .NET: CoreCLR.
//!
//! Input: none. Output: its [`Allocator`]. [`owner`] recognises its memory; its counters are not read.

use super::{
    Allocator, Mark,
    attribute::{Claimant, Turn},
    evidence::Sign,
};

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
}
