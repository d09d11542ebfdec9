//! Stable sorting of rows by any column.
//!
//! A [`Table`] -> the same, in order. Rows with equal values keep a fixed order, so that nothing jumps at a refresh.

use super::{By, Table, UnknownField};

/// The order of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort {
    /// A column, by its name in JSON.
    pub field: String,
    /// Largest first.
    pub is_descending: bool,
}

impl Sort {
    /// The default order of rows of this kind.
    pub fn of(by: By) -> Self {
        Self::by(by, by.default_sort())
            .unwrap_or_else(|_| Self { field: by.default_sort().to_owned(), is_descending: true })
    }

    /// Sort by a column, in its default direction.
    ///
    /// # Errors
    /// When there is no column of this name.
    pub fn by(by: By, name: &str) -> Result<Self, UnknownField> {
        let column = by.column(name)?;
        Ok(Self { field: column.field.to_owned(), is_descending: column.is_descending() })
    }
}

/// The column that decides between rows with equal values.
const fn second(by: By) -> Option<&'static str> {
    match by {
        By::Pod | By::Container => Some("usage_bytes"),
        By::Process | By::Arena | By::Stack | By::Kill | By::Probe => None,
    }
}

/// Sorts the rows.
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
