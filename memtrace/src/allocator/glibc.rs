//! glibc: its malloc, and the malloc of its dynamic loader.
//!
//! Input: none. Output: its [`Allocator`]. [`owner`] recognises its memory, [`counters`] reads its counters, [`advice`]
//! has the settings.

use super::{
    Allocator, AllocatorId, Mark,
    advice::Advice,
    attribute::{Claimant, Turn, label::Label},
    counters::{Cost, CounterReader},
    evidence::{Sign, content::heap_of},
};

pub mod advice;
pub mod counters;
pub mod owner;

/// glibc.
pub struct Glibc;

impl Allocator for Glibc {
    fn signs(&self) -> &'static [Sign] {
        const {
            &[
                Sign {
                    exports: &[b"gnu_get_libc_version"],
                    symbols: &[b"\0main_arena\0"],
                    constants: &[b"malloc(): corrupted top size"],
                    // The loader has a malloc of its own.
                    unless: Some(Mark::Loader),
                    ..Sign::of(Mark::Glibc)
                },
                Sign {
                    files: &[b"ld-linux", b"ld64.so", b"ld-2."],
                    exports: &[b"_dl_mcount"],
                    ..Sign::of(Mark::Loader)
                },
            ]
        }
    }

    fn labels(&self) -> &'static [Label] {
        const OF: AllocatorId = AllocatorId::Glibc;
        const {
            &[
                Label::of(b" glibc: malloc arena", OF, "thread arena").apart(heap_of),
                Label::of(b" glibc: malloc", OF, "mmapped chunk"),
                Label::of(b" glibc: loader malloc", OF, "loader"),
                Label::stack(b" glibc: pthread", "thread stack"),
                Label::stack(b" glibc: unused stack", "unused thread stack"),
                Label::of(b" glibc:", OF, "other"),
            ]
        }
    }

    fn owners(&self) -> &'static [(Turn, &'static dyn Claimant)] {
        &[(Turn::Placed, &owner::Heaps), (Turn::Left, &owner::Chunks)]
    }

    fn counters(&self) -> Option<(Cost, &'static dyn CounterReader)> {
        Some((Cost::Walk, &counters::Glibc))
    }

    fn advice(&self) -> &'static dyn Advice {
        &advice::Glibc
    }
}
