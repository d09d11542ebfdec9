//! What tcmalloc retains: spans of its page heap.

use crate::allocator::advice::{Advice, Keeper, Remedy};

/// The advice.
pub struct Tcmalloc;

impl Advice for Tcmalloc {
    fn place(&self) -> Option<&'static str> {
        Some("tcmalloc's page heap")
    }

    fn reason(&self, _kept: &Keeper<'_>) -> String {
        "they are kept because tcmalloc returns spans slowly, and only while the program frees".to_owned()
    }

    fn remedies(&self, _kept: &Keeper<'_>) -> Vec<Remedy> {
        vec![Remedy::setting("return free spans faster", "TCMALLOC_RELEASE_RATE=10")]
    }
}
