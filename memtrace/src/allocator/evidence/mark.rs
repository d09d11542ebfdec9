//! Sets of marks found in programs.
//!
//! Data only.

use serde::{Deserialize, Serialize};

use crate::allocator::Mark;

/// A set of [`Mark`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Marks(u32);

impl Marks {
    /// Whether it has one.
    pub const fn has(self, mark: Mark) -> bool {
        self.0 & 1 << mark as u8 != 0
    }

    /// The set with a mark added.
    pub const fn with(self, mark: Mark) -> Self {
        Self(self.0 | 1 << mark as u8)
    }

    /// The set with a mark removed.
    pub const fn without(self, mark: Mark) -> Self {
        Self(self.0 & !(1 << mark as u8))
    }

    /// The union with another set.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
