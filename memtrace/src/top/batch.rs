//! Rows as text: for pipes, scripts and tickets.
//!
//! [`Data`] and [`Options`] -> text. Pure. Uses the rows, orders and filters of the live view.

mod header;
mod machine;
mod notes;
mod text;

use super::{
    column::Column,
    filter::Filter,
    rows::{By, Data, Scope, Table, rows, sort},
};
use crate::units::Bytes;

/// Output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people: the columns that fit.
    Table,
    /// For people: all columns that are not hidden.
    Wide,
    /// For programs: an object with the rows.
    Json,
    /// For programs: one object per row and line.
    Ndjson,
    /// For programs: raw figures, comma-separated.
    Csv,
}

/// Options of the output.
#[derive(Clone, Debug)]
pub struct Options {
    /// Output format.
    pub form: Form,
    /// The kind of rows.
    pub by: By,
    /// The order of the rows.
    pub sort: sort::Sort,
    /// The filter of the rows.
    pub filter: Filter,
    /// The columns; `None` for the default ones.
    pub fields: Option<Vec<&'static Column>>,
    /// The most rows.
    pub most: usize,
    /// The width of a table in screen columns.
    pub width: usize,
    /// Whether this is the first output, which starts with the header.
    pub is_first: bool,
}

/// Prints the rows.
pub fn print(data: &Data, options: &Options) -> String {
    let mut table = rows(data, options.by, &Scope::Node);
    table.rows.retain(|row| options.filter.passes(row));
    sort::sort(&mut table, options.by, &options.sort);
    let hidden = table.rows.len().saturating_sub(options.most);
    table.rows.truncate(options.most);
    match options.form {
        Form::Table | Form::Wide => {
            let mut out = header::header(&data.snapshot);
            out.push('\n');
            out.push_str(&text::table(&table, options, hidden));
            if options.by == By::Arena && options.form == Form::Table && options.fields.is_none() {
                out.push_str(&notes::notes(data, &table));
            }
            out
        }
        Form::Json => machine::json(data, &table, options),
        Form::Ndjson => machine::ndjson(data, &table, options),
        Form::Csv => machine::csv(data, &table, options),
    }
}

/// `+1.5 MiB`, `-200.0 KiB`, `0`: a figure that rounds to 0 has no sign.
fn signed(bytes: f64) -> String {
    match Bytes(bytes.abs().round() as u64) {
        Bytes(0) => "0".to_owned(),
        size if bytes < 0.0 => format!("-{size}"),
        size => format!("+{size}"),
    }
}

/// The columns to print, with their indexes in the rows.
fn chosen<'a>(
    table: &'a Table,
    options: &'a Options,
    usual: impl Fn(&Column) -> bool + 'a,
) -> Vec<(usize, &'static Column)> {
    let all = table.columns.iter().copied().enumerate();
    match &options.fields {
        None => all.filter(|(_, column)| usual(column)).collect(),
        Some(fields) => {
            let place = |field: &Column| table.columns.iter().position(|column| column.field == field.field);
            fields.iter().filter_map(|field| Some((place(field)?, *field))).collect()
        }
    }
}

#[cfg(test)]
mod tests;
