//! Reports of a kill, a run, a comparison: text, Markdown and HTML; advice as tables and patches.
//!
//! `&OomRecord` -> a document -> one of its forms. Pure: reads nothing, draws no conclusions beyond the record, and
//! prints unknown values as unknown. Names in the record are already escaped; other text is escaped here, never printed
//! raw.

#[cfg(test)]
mod tests;

mod advice;
mod block;
mod describe;
pub mod diff;
mod document;
pub mod explanation;
mod heap;
mod html;
mod markdown;
mod page;
pub mod run;
mod sentence;
mod stack;
mod story;
mod style;
mod table;
mod text;

pub use self::{
    advice::{PatchError, advice, outcomes, patch},
    html::{STYLE, html, kill, meter},
    markdown::markdown,
    sentence::sentence,
    story::{again, stories},
    style::{Style, Terminal},
    table::table,
    text::text,
};
