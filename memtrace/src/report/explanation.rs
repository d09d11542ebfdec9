//! An explanation as text, and as the contents of a page of HTML.
//!
//! [`Explanation`](crate::explain::Explanation)s -> lines that fit, or HTML. Must not add information.

mod document;
mod html;
mod objects;
mod pair;
mod text;
mod words;

pub use self::{html::contents, pair::pair, text::text};
