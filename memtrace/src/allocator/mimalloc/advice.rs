//! What mimalloc retains: pages, until their purge is due.

use crate::allocator::advice::{Advice, Keeper, Remedy};

/// The advice.
pub struct Mimalloc;

impl Advice for Mimalloc {
    fn place(&self) -> Option<&'static str> {
        Some("mimalloc's pages")
    }

    fn reason(&self, _kept: &Keeper<'_>) -> String {
        "they are kept because mimalloc returns pages only while the program allocates or frees".to_owned()
    }

    fn remedies(&self, _kept: &Keeper<'_>) -> Vec<Remedy> {
        vec![Remedy::setting("return free pages immediately", "MIMALLOC_PURGE_DELAY=0")]
    }
}
