//! CPython's allocator for small objects.
//!
//! Input: none. Output: its [`Allocator`]. [`owner`] recognises its memory, [`counters`] reads its counters,
//! [`objects`] what fills it, [`advice`] has the settings.

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
pub mod objects;
pub mod owner;
mod pools;

/// CPython's allocator for small objects.
pub struct Cpython;

impl Allocator for Cpython {
    fn signs(&self) -> &'static [Sign] {
        const { &[Sign { exports: &[b"_PyRuntime", b"PyObject_Malloc"], ..Sign::of(Mark::Cpython) }] }
    }

    fn labels(&self) -> &'static [Label] {
        const {
            &[
                Label::of(b"cpython:obmalloc", AllocatorId::Cpython, "obmalloc arena"),
                Label::of(b"cpython:", AllocatorId::Cpython, "other"),
            ]
        }
    }

    fn owners(&self) -> &'static [(Turn, &'static dyn Claimant)] {
        &[(Turn::Shaped, &owner::Cpython)]
    }

    fn counters(&self) -> Option<(Cost, &'static dyn CounterReader)> {
        Some((Cost::Walk, &counters::Cpython))
    }

    fn objects(&self) -> Option<&'static dyn ObjectReader> {
        Some(&objects::Cpython)
    }

    fn advice(&self) -> &'static dyn Advice {
        &advice::Cpython
    }
}
