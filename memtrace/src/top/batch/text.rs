//! Rows as a table for people, each column as wide as its contents.

use std::fmt::Write as _;

use super::{Form, Options, chosen};
use crate::{
    text,
    top::{
        column::{Column, Kind},
        rows::Table,
        value::Value,
    },
};

/// The least width of a shortened name.
const NAME: usize = 20;
/// Spaces between two columns.
const BETWEEN: usize = 2;

pub(super) fn table(table: &Table, options: &Options, hidden: usize) -> String {
    let columns = chosen(table, options, |column| column.rank != Column::HIDDEN);
    let mut widths: Vec<usize> = columns
        .iter()
        .map(|(at, column)| {
            let cells = table.rows.iter().filter_map(|row| row.values.get(*at));
            let cells = cells.map(|value| text::width(&long(value)));
            cells.chain([text::width(column.title)]).max().unwrap_or(0)
        })
        .collect();
    let mut shown: Vec<usize> = (0..columns.len()).collect();
    if options.form == Form::Table {
        shrink(&columns, &mut widths, &mut shown, options);
    }
    let mut out = String::new();
    let mut line = |cell: &dyn Fn(usize, &Column) -> String| {
        let mut line = String::new();
        for (index, (at, column)) in columns.iter().enumerate().filter(|(index, _)| shown.contains(index)) {
            let width = widths.get(index).copied().unwrap_or(0);
            let text = cell(*at, column);
            let text = match column.kind {
                Kind::Name => text::keep_end(&text, width, "…"),
                Kind::Words(_)
                | Kind::Sentence
                | Kind::Bytes
                | Kind::Change
                | Kind::Bar
                | Kind::Share
                | Kind::Count
                | Kind::Number
                | Kind::Seconds
                | Kind::Time
                | Kind::Trend => text::keep_start(&text, width, "…"),
            };
            let gap = " ".repeat(width.saturating_sub(text::width(&text)));
            let between = if line.is_empty() { 0 } else { BETWEEN };
            let is_left = matches!(column.kind, Kind::Name | Kind::Words(_) | Kind::Sentence | Kind::Time);
            let (before, behind) = if is_left { ("", gap.as_str()) } else { (gap.as_str(), "") };
            let _ = write!(line, "{:between$}{before}{text}{behind}", "");
        }
        let _ = writeln!(out, "{}", line.trim_end());
    };
    line(&|_, column| column.title.to_owned());
    for row in &table.rows {
        line(&|at, _| row.values.get(at).map(long).unwrap_or_default());
    }
    if hidden > 0 {
        let _ = writeln!(out, "and {hidden} more");
    }
    out
}

/// Shortens names, and then omits columns of high rank, until the rest fits.
fn shrink(
    columns: &[(usize, &'static Column)],
    widths: &mut [usize],
    shown: &mut Vec<usize>,
    options: &Options,
) {
    let total = |widths: &[usize], shown: &[usize]| -> usize {
        shown.iter().filter_map(|index| widths.get(*index)).map(|width| width + BETWEEN).sum()
    };
    let room = options.width + BETWEEN;
    loop {
        let over = total(widths, shown).saturating_sub(room);
        if over == 0 {
            return;
        }
        // The last column may be cut at its end, and names down to their distinctive part.
        let can_give = |index: &usize| {
            let least = match columns.get(*index).map(|(_, column)| column.kind) {
                Some(Kind::Name | Kind::Sentence) => NAME,
                _ => return None,
            };
            widths.get(*index).and_then(|width| width.checked_sub(least)).filter(|more| *more > 0)
        };
        let giver = shown.iter().copied().max_by_key(|index| can_give(index).unwrap_or(0));
        if let Some((giver, more)) = giver.and_then(|index| Some((index, can_give(&index)?)))
            && let Some(width) = widths.get_mut(giver)
        {
            *width -= more.min(over);
            continue;
        }
        // Requested fields are kept, and a table has at least one column.
        if options.fields.is_some() || shown.len() <= 1 {
            return;
        }
        let rank = |index: &usize| {
            let (_, column) = columns.get(*index)?;
            // The sort column is kept.
            Some(if column.field == options.sort.field { 0 } else { column.rank })
        };
        let Some(at) = (0..shown.len()).max_by_key(|at| shown.get(*at).and_then(rank)) else { return };
        shown.remove(at);
    }
}

/// A value as in a report, with its full unit.
fn long(value: &Value) -> String {
    match value {
        Value::Bytes(bytes) => bytes.to_string(),
        Value::Change(by) => super::signed(*by),
        Value::Unknown
        | Value::Text(_)
        | Value::Share(_)
        | Value::Count(_)
        | Value::Number(_)
        | Value::Seconds(_)
        | Value::Time(_)
        | Value::Trend(_) => value.short(),
    }
}
