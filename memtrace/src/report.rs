//! What is told about a kill: text, Markdown and HTML for a person.
//!
//! `&OomRecord` -> a document -> one of its forms. Pure: reads nothing, decides nothing that the record does not say, and prints what is
//! unknown as unknown. Names come escaped in the record; what is not is escaped here, never printed raw.

#[cfg(test)]
mod tests;

mod block;
mod describe;
mod document;
pub mod explanation;
mod html;
mod markdown;
mod page;
mod sentence;
mod stack;
mod style;
mod table;
mod text;

pub use self::{
    html::html,
    markdown::markdown,
    sentence::sentence,
    style::{Style, Terminal},
    table::table,
    text::text,
};
