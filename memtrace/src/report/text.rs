//! A document as text: the answer first, the evidence below it.
//!
//! [`Document`] -> lines of at most [`Style::width`] columns. Long paths are shortened in tables and complete in the
//! blocks; only a single name longer than a line may be wider.

use super::{
    block,
    document::{Block, Cell, Column, Document, Fit, Item, Row, Table},
    page::Page,
    style::{Paint, Style},
};
use crate::{
    oom::record::OomRecord,
    text::{BETWEEN, GAP, columns, keep_start, printable, shorten_path, width},
};

/// Characters of a full bar.
const BAR: u128 = 30;
const MARK: &str = "> ";
const NO_MARK: &str = "  ";
/// The least width of a path, when the figures have their maximum width.
const PATH: usize = 12;

/// Writes the report of one kill.
pub fn text(record: &OomRecord, again: Option<&str>, style: Style) -> String {
    lay_out(&block::document(record, again), style)
}

/// Lays out a document.
pub(super) fn lay_out(document: &Document, style: Style) -> String {
    let Document { lead, blocks, closing } = document;
    let mut page = Page::new(style);
    for (index, paragraph) in lead.iter().enumerate() {
        if index > 0 {
            page.blank();
        }
        page.paragraph(paragraph, if index == 0 { Paint::Heading } else { Paint::Plain });
    }
    for Block { heading, items, figure: _ } in blocks {
        page.heading(heading);
        for item in items {
            put(&mut page, item);
        }
    }
    page.blank();
    page.paragraph(closing, Paint::Plain);
    page.finish()
}

fn put(page: &mut Page, item: &Item) {
    match item {
        Item::Field { name, value, paint } => page.painted_field(name, value, *paint),
        Item::Lines { name, lines } => {
            let room = page.value_columns();
            let lines: Vec<String> =
                lines.iter().map(|line| keep_start(&printable(line), room, GAP)).collect();
            page.lines_field(name, &lines, Paint::Plain);
        }
        Item::Table(table) => put_table(page, table),
        Item::Note(text) => page.note(text),
    }
}

fn put_table(page: &mut Page, table: &Table) {
    let mut rows: Vec<Vec<String>> = table.rows.iter().map(|row| cells(table, row)).collect();
    if table.has_titles() {
        rows.insert(0, table.columns.iter().map(|column| column.title.to_owned()).collect());
    }
    let margin = if table.has_marks() { MARK.len() } else { 0 };
    shrink(&table.columns, &mut rows, page.columns().saturating_sub(margin));
    let aligns: Vec<_> = table.columns.iter().map(|column| column.align).collect();
    let titles = table.has_titles().then_some((None, Paint::Heading));
    let marks = titles.into_iter().chain(table.rows.iter().map(|row| (row.mark, row.paint)));
    for (line, (mark, paint)) in columns(&aligns, &rows).iter().zip(marks) {
        let before = match (margin, mark) {
            (0, _) => "",
            (_, Some(_)) => MARK,
            (_, None) => NO_MARK,
        };
        page.line(&format!("{before}{line}"), paint);
    }
}

fn cells(table: &Table, row: &Row) -> Vec<String> {
    let text = |(cell, column): (&Cell, &Column)| match (cell, column.fit) {
        (Cell::Bar(share), _) => bar(*share),
        (Cell::Grade(grade), _) => grade.to_string(),
        (Cell::Text(text), Fit::Cut(columns)) => keep_start(&printable(text), columns, GAP),
        (Cell::Text(text), Fit::Whole | Fit::Path | Fit::Rest) => printable(text),
    };
    row.cells.iter().zip(&table.columns).map(text).collect()
}

/// Shortens the one flexible column to the width that the others leave.
fn shrink(columns: &[Column], rows: &mut [Vec<String>], room: usize) {
    let is_elastic = |column: &Column| matches!(column.fit, Fit::Path | Fit::Rest);
    let Some(elastic) = columns.iter().position(is_elastic) else { return };
    let widest = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max();
    let others: usize = (0..columns.len())
        .filter(|column| *column != elastic)
        .map(|column| BETWEEN.len() + widest(column).unwrap_or(0))
        .sum();
    let room = room.saturating_sub(others).max(PATH);
    for cell in rows.iter_mut().filter_map(|row| row.get_mut(elastic)) {
        *cell = match columns.get(elastic).map(|column| column.fit) {
            Some(Fit::Path) => shorten_path(cell, room),
            _ => keep_start(cell, room, GAP),
        };
    }
}

/// A bar for a share; at least one mark if it is not 0.
fn bar(share: u128) -> String {
    let marks = (share * BAR).div_ceil(100).min(BAR) as usize;
    format!("[{}{}]", "#".repeat(marks), ".".repeat(BAR as usize - marks))
}
