//! What is told about a kill: text for a person.
//!
//! `&OomRecord` -> text. Pure: reads nothing, decides nothing that the record does not say, and prints what is
//! unknown as unknown. Names come escaped in the record; what is not is escaped here, never printed raw.

#[cfg(test)]
mod tests;

mod blocks;
mod chain;
mod describe;
pub mod explain;
mod layout;
mod page;
mod sentence;
mod stack;
mod style;
mod table;
mod text;

pub use self::{
    sentence::sentence,
    style::{Style, Terminal},
    table::table,
    text::text,
};
