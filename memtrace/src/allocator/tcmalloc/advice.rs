//! What tcmalloc retains: spans of its page heap.

use crate::allocator::advice::{Advice, Keeper, Remedy};

/// The advice.
pub struct Tcmalloc;

impl Advice for Tcmalloc {
    fn place(&self) -> Option<&'static str> {
        Some("tcmalloc's page heap and caches")
    }

    fn reason(&self, _kept: &Keeper<'_>) -> String {
        "they are kept because tcmalloc returns spans slowly, and only while the program frees".to_owned()
    }

    fn remedies(&self, _kept: &Keeper<'_>) -> Vec<Remedy> {
        // TCMALLOC_RELEASE_RATE acts only while the program frees: of a peak at rest it returns nothing.
        vec![Remedy::setting(
            "return spans of the page heap when they become free, all but what is in caches; a program that frees and \
             allocates much pays for it with time",
            "TCMALLOC_AGGRESSIVE_DECOMMIT=t",
        )]
    }
}
