//! The two tcmallocs: google/tcmalloc, and the one of gperftools.
//!
//! Input: none. Output: its [`Allocator`]. [`owner`] recognises its memory, [`counters`] reads its counters, [`advice`]
//! has the settings.

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

/// The two tcmallocs: google/tcmalloc, and the one of gperftools.
pub struct Tcmalloc;

impl Allocator for Tcmalloc {
    fn signs(&self) -> &'static [Sign] {
        const {
            &[
                Sign { exports: &[b"TCMalloc_SystemTaken", b"tc_malloc"], ..Sign::of(Mark::Gperftools) },
                Sign {
                    sections: &[b"google_malloc"],
                    export_prefixes: &[b"MallocExtension_Internal_"],
                    symbols: &[b"MallocExtension_Internal_", b"tcmalloc_internal"],
                    constants: &[b"tcmalloc_region_", b"MallocExtension::"],
                    // gperftools has some of the same exports as Google's.
                    unless: Some(Mark::Gperftools),
                    ..Sign::of(Mark::GoogleTcmalloc)
                },
            ]
        }
    }

    fn labels(&self) -> &'static [Label] {
        const OF: AllocatorId = AllocatorId::Tcmalloc;
        const {
            &[
                Label::of(b"tcmalloc_region_NORMAL", OF, "normal region"),
                Label::of(b"tcmalloc_region_SAMPLED", OF, "sampled region"),
                Label::of(b"tcmalloc_region_COLD", OF, "cold region"),
                Label::of(b"tcmalloc_region_METADATA", OF, "metadata"),
                Label::of(b"tcmalloc", OF, "region"),
            ]
        }
    }

    fn owners(&self) -> &'static [(Turn, &'static dyn Claimant)] {
        &[(Turn::Placed, &owner::Google), (Turn::Shaped, &owner::Gperftools)]
    }

    fn counters(&self) -> Option<(Cost, &'static dyn CounterReader)> {
        Some((Cost::Walk, &counters::Gperftools))
    }

    fn advice(&self) -> &'static dyn Advice {
        &advice::Tcmalloc
    }
}
