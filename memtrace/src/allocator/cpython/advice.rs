//! What CPython keeps: arenas in which a pool is in use.

use crate::allocator::advice::{Advice, Keeper};

/// The advice: nothing can be set.
pub struct Cpython;

impl Advice for Cpython {
    fn place(&self) -> Option<&'static str> {
        Some("Python's pools")
    }

    fn reason(&self, _kept: &Keeper<'_>) -> String {
        "they are kept because an arena is returned only when all of its pools are empty".to_owned()
    }
}
