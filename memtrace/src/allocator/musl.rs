//! musl: its malloc.
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
pub mod owner;

/// musl: its malloc.
pub struct Musl;

impl Allocator for Musl {
    fn signs(&self) -> &'static [Sign] {
        const {
            &[Sign {
                files: &[b"ld-musl-", b"libc.musl-"],
                exports: &[b"__libc_malloc_impl"],
                symbols: &[b"__malloc_context", b"__libc_malloc_impl"],
                constants: &[b"musl libc ("],
                ..Sign::of(Mark::Musl)
            }]
        }
    }

    fn owners(&self) -> &'static [(Turn, &'static dyn Claimant)] {
        &[(Turn::Shaped, &owner::Musl)]
    }

    fn counters(&self) -> Option<(Cost, &'static dyn CounterReader)> {
        Some((Cost::Walk, &counters::Musl))
    }

    fn advice(&self) -> &'static dyn Advice {
        &advice::Musl
    }
}
