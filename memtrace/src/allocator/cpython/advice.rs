//! What CPython retains: arenas in which a pool is in use.

use crate::allocator::advice::{Advice, Keeper};

/// The advice: there is no setting.
pub struct Cpython;

impl Advice for Cpython {
    fn place(&self) -> Option<&'static str> {
        Some("Python's pools")
    }

    fn reason(&self, _kept: &Keeper<'_>) -> String {
        "they are kept because an arena is returned only when all of its pools are empty".to_owned()
    }
}
