//! A page of headed blocks with named values.
//!
//! Headings, fields and lines -> text in columns. All text is made printable here; nothing else adds to a page.

use super::style::{Paint, Style};
use crate::text::{Align, pad, printable, width, wrap_paths};

/// Column at which values start.
const VALUES: usize = 18;
const INDENT: &str = "  ";

/// A page in progress.
pub(super) struct Page {
    style: Style,
    out: String,
}

impl Page {
    pub(super) fn new(style: Style) -> Self {
        Self { style, out: String::new() }
    }

    /// Width of the lines of a block.
    pub(super) fn columns(&self) -> usize {
        self.style.columns() - INDENT.len()
    }

    /// Width of the value of a field.
    pub(super) fn value_columns(&self) -> usize {
        self.style.columns() - VALUES
    }

    pub(super) fn paragraph(&mut self, text: &str, paint: Paint) {
        for line in wrap_paths(&printable(text), self.style.columns()) {
            self.put("", &line, paint);
        }
    }

    pub(super) fn blank(&mut self) {
        self.out.push('\n');
    }

    pub(super) fn heading(&mut self, text: &str) {
        self.blank();
        self.put("", text, Paint::Heading);
    }

    /// Adds a line of a block that the caller has laid out and made printable.
    pub(super) fn line(&mut self, text: &str, paint: Paint) {
        self.put(INDENT, text, paint);
    }

    /// Adds a named value, wrapped to several lines if necessary.
    pub(super) fn field(&mut self, name: &str, value: &str) {
        self.painted_field(name, value, Paint::Plain);
    }

    /// Adds a named value in a colour.
    pub(super) fn painted_field(&mut self, name: &str, value: &str, paint: Paint) {
        self.lines_field(name, &wrap_paths(&printable(value), self.value_columns()), paint);
    }

    /// Adds a named value whose lines the caller has laid out and made printable.
    pub(super) fn lines_field(&mut self, name: &str, lines: &[String], paint: Paint) {
        let mut label = format!("{INDENT}{}", pad(name, VALUES - INDENT.len(), Align::Left));
        for line in lines {
            self.put(&label, line, paint);
            label = " ".repeat(VALUES);
        }
    }

    /// Adds a sentence to a block.
    pub(super) fn note(&mut self, text: &str) {
        for line in wrap_paths(&printable(text), self.columns()) {
            self.line(&line, Paint::Plain);
        }
    }

    /// Adds a text with a mark before its first line.
    pub(super) fn bullet(&mut self, mark: &str, text: &str, paint: Paint) {
        let room = self.columns().saturating_sub(width(mark) + 1);
        let mut before = mark.to_owned();
        for line in wrap_paths(&printable(text), room) {
            self.line(&format!("{before} {line}"), paint);
            before = " ".repeat(width(mark));
        }
    }

    pub(super) fn finish(self) -> String {
        self.out
    }

    fn put(&mut self, before: &str, text: &str, paint: Paint) {
        let text = text.trim_end_matches(' ');
        if text.is_empty() {
            self.out.push_str(before.trim_end_matches(' '));
        } else {
            self.out.push_str(before);
            self.out.push_str(&self.style.paint(paint, text));
        }
        self.out.push('\n');
    }
}
