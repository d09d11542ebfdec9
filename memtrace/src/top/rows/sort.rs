//! The order of rows: by any column, and stable.
//!
//! A [`Table`] -> the same, in order. Rows that are equal in the column stay where the kind's own order puts them, so
//! that nothing jumps at a refresh.

use super::{By, Table, UnknownField};

/// By what rows are ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort {
    /// A column, by its name in JSON.
    pub field: String,
    /// Largest first.
    pub is_descending: bool,
}

impl Sort {
    /// The order of rows of this kind when nothing else is asked for.
    pub fn of(by: By) -> Self {
        Self::by(by, by.default_sort())
            .unwrap_or_else(|_| Self { field: by.default_sort().to_owned(), is_descending: true })
    }

    /// By a column, in its own direction.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn by(by: By, name: &str) -> Result<Self, UnknownField> {
        let column = by.column(name)?;
        Ok(Self { field: column.field.to_owned(), is_descending: column.is_descending() })
    }
}

/// The column that decides between rows that are equal.
const fn second(by: By) -> Option<&'static str> {
    match by {
        By::Pod | By::Container => Some("usage_bytes"),
        By::Process | By::Arena | By::Stack | By::Kill | By::Probe => None,
    }
}

/// Orders the rows.
pub fn sort(table: &mut Table, by: By, sort: &Sort) {
    let first = table.column(&sort.field).map(|(at, _)| (at, sort.is_descending));
    let second = second(by).and_then(|name| table.column(name)).map(|(at, _)| (at, true));
    table.rows.sort_by(|a, b| {
        let differing = [first, second].into_iter().flatten().filter_map(|(at, is_descending)| {
            let order = a.values.get(at)?.order(b.values.get(at)?, is_descending);
            order.is_ne().then_some(order)
        });
        differing.into_iter().next().unwrap_or_else(|| a.id.cmp(&b.id))
    });
}
