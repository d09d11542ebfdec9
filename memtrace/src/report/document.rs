//! The contents of a report, independent of the form: blocks of named values, tables and notes.
//!
//! `block` makes it from a record; `text`, `markdown` and `html` lay it out. Cells contain plain text; every form
//! escapes it in its own way.

use super::style::Paint;
use crate::{text::Align, units::Grade};

/// The contents of a report.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Document {
    /// The answer, one paragraph each.
    pub(super) lead: Vec<String>,
    pub(super) blocks: Vec<Block>,
    /// The last line.
    pub(super) closing: String,
}

/// A heading with its items.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Block {
    pub(super) heading: String,
    /// The drawing above it in the HTML form.
    pub(super) figure: Option<Figure>,
    pub(super) items: Vec<Item>,
}

/// A drawing of a part of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    Timeline,
    Composition,
    Stacks,
}

/// A part of a block.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    /// A named value.
    Field { name: String, value: String, paint: Paint },
    /// A named list, one line per entry, truncated if too wide: frames.
    Lines { name: String, lines: Vec<String> },
    /// A table.
    Table(Table),
    /// A sentence.
    Note(String),
}

/// Columns of cells.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Row>,
}

/// A column.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column {
    /// Its title; empty in tables without titles.
    pub(super) title: &'static str,
    pub(super) align: Align,
    pub(super) fit: Fit,
}

/// How cells that are too wide for a line of text are shortened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// Not at all.
    Whole,
    /// The end is cut off.
    Cut(usize),
    /// The column gets the remaining width, and the start is cut off; at most one column.
    Path,
    /// The column gets the remaining width, and the end is cut off; at most one column.
    Rest,
}

/// A row; `mark` is put before it, in the colour `paint`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) mark: Option<&'static str>,
    pub(super) cells: Vec<Cell>,
    pub(super) paint: Paint,
}

/// A cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    Text(String),
    /// A share in percent, drawn.
    Bar(u128),
    /// The grade of the row.
    Grade(Grade),
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::Text(text.into())
    }
}

impl Column {
    pub(super) const fn left(title: &'static str, fit: Fit) -> Self {
        Self { title, align: Align::Left, fit }
    }

    pub(super) const fn right(title: &'static str) -> Self {
        Self { title, align: Align::Right, fit: Fit::Whole }
    }
}

impl Table {
    pub(super) fn new(columns: Vec<Column>) -> Self {
        Self { columns, rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(Row { mark: None, cells, paint: Paint::Plain });
    }

    pub(super) fn marked(&mut self, mark: &'static str, cells: Vec<Cell>, paint: Paint) {
        self.rows.push(Row { mark: Some(mark), cells, paint });
    }

    pub(super) fn has_titles(&self) -> bool {
        self.columns.iter().any(|column| !column.title.is_empty())
    }

    pub(super) fn has_marks(&self) -> bool {
        self.rows.iter().any(|row| row.mark.is_some())
    }
}

impl Block {
    pub(super) fn new(heading: &str) -> Self {
        Self { heading: heading.to_owned(), figure: None, items: Vec::new() }
    }

    pub(super) fn drawn(heading: &str, figure: Figure) -> Self {
        Self { figure: Some(figure), ..Self::new(heading) }
    }

    pub(super) fn field(&mut self, name: &str, value: impl Into<String>) {
        self.painted(name, value, Paint::Plain);
    }

    /// Adds a named value if it is known.
    pub(super) fn known<T: ToString>(&mut self, name: &str, value: Option<T>) {
        if let Some(value) = value {
            self.field(name, value.to_string());
        }
    }

    pub(super) fn painted(&mut self, name: &str, value: impl Into<String>, paint: Paint) {
        self.items.push(Item::Field { name: name.to_owned(), value: value.into(), paint });
    }

    pub(super) fn doubt(&mut self, name: &str, value: impl Into<String>) {
        self.painted(name, value, Paint::Doubt);
    }

    pub(super) fn lines(&mut self, name: &str, lines: Vec<String>) {
        self.items.push(Item::Lines { name: name.to_owned(), lines });
    }

    pub(super) fn table(&mut self, table: Table) {
        if !table.rows.is_empty() {
            self.items.push(Item::Table(table));
        }
    }

    /// Adds one line for all values that are zero.
    pub(super) fn absent<T: AsRef<str>>(&mut self, names: &[T]) {
        if !names.is_empty() {
            let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
            self.note(format!("zero: {}", names.join("; ")));
        }
    }

    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.items.push(Item::Note(text.into()));
    }
}
