//! What musl retains: groups in which a slot is in use.

use crate::allocator::advice::{Advice, Keeper};

/// The advice: there is no setting.
pub struct Musl;

impl Advice for Musl {
    fn place(&self) -> Option<&'static str> {
        Some("musl's groups")
    }

    fn reason(&self, _kept: &Keeper<'_>) -> String {
        "they are kept because a group is returned only when all of its slots are free".to_owned()
    }
}
