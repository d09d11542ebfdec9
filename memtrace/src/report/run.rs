//! The page of `memtrace run`: text, Markdown, HTML, JUnit, annotations for GitHub; and what was saved of it.
//!
//! [`Page`](crate::sizing::run::Page) -> a document -> one of its forms. Must not add information.

mod annotations;
mod curve;
mod document;
mod junit;
mod parts;
mod saved;

pub use self::{
    annotations::annotations,
    curve::svg,
    junit::junit,
    saved::{list, saved},
};
use super::{html as html_form, markdown as markdown_form, style::Style, text as text_form};
use crate::sizing::run::Page;

/// As text.
pub fn text(page: &Page, style: Style) -> String {
    text_form::lay_out(&document::document(page), style)
}

/// As Markdown, for a pull request.
pub fn markdown(page: &Page) -> String {
    markdown_form::lay_out(&document::document(page))
}

/// As one HTML file.
pub fn html(page: &Page) -> String {
    let title = format!("memtrace run: {}", page.command.join(" "));
    let drawing = page.search.as_ref().and_then(curve::drawing);
    html_form::page(&title, &document::document(page), drawing.as_ref())
}

#[cfg(test)]
mod tests;
