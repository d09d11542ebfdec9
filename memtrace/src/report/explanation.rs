//! A page of explain, as text.
//!
//! [`Explanation`](crate::explain::Explanation)s -> lines that fit. Says nothing that is not in them.

mod pair;
mod text;

pub use self::{pair::pair, text::text};
