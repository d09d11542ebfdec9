//! An explanation as text.
//!
//! [`Explanation`](crate::explain::Explanation)s -> lines that fit. Must not add information.

mod objects;
mod pair;
mod text;

pub use self::{pair::pair, text::text};
