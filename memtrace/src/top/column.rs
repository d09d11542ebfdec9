//! The definition of a column: its names, its width, and when it is omitted.
//!
//! Plain data, and [`find`], with which `--sort`, `--filter`, `--fields` and the live view look up a column. The
//! columns of each kind of row are defined with its rows.

/// The kind of values in a column, which decides how it is drawn, and how a filter parses a number for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The name of the row, whose end is the most specific part. Uses all available width.
    Name,
    /// A few words, whose start is the most important part.
    Words(u16),
    /// A sentence; uses the remaining width.
    Sentence,
    /// A size.
    Bytes,
    /// A size with a sign.
    Change,
    /// A share between 0 and 1, with a bar.
    Bar,
    /// A share between 0 and 1.
    Share,
    /// A count.
    Count,
    /// A number that is an id.
    Number,
    /// A duration.
    Seconds,
    /// A point in time.
    Time,
    /// A size over time.
    Trend,
}

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in JSON and CSV.
    pub field: &'static str,
    /// Its title.
    pub title: &'static str,
    /// Shorter names.
    pub aliases: &'static [&'static str],
    /// The kind of its values.
    pub kind: Kind,
    /// Columns of higher rank are omitted first on a narrow screen; see [`Column::HIDDEN`].
    pub rank: u8,
    /// Its meaning.
    pub about: &'static str,
}

impl Column {
    /// The rank of a column that is shown only on request.
    pub const HIDDEN: u8 = u8::MAX;

    /// A column.
    pub const fn new(
        field: &'static str,
        title: &'static str,
        kind: Kind,
        rank: u8,
        about: &'static str,
    ) -> Self {
        Self { field, title, aliases: &[], kind, rank, about }
    }

    /// Adds aliases.
    pub const fn or(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    /// Whether this is its title, ignoring case; in a filter, `_` stands for a space.
    fn is_titled(&self, name: &str) -> bool {
        let same = |(a, b): (u8, u8)| a.eq_ignore_ascii_case(&b) || (a, b) == (b' ', b'_');
        self.title.len() == name.len() && self.title.bytes().zip(name.bytes()).all(same)
    }

    /// Its shortest name.
    pub fn shortest(&self) -> &'static str {
        self.aliases.first().copied().unwrap_or(self.field)
    }

    /// Whether sorting by it puts the largest first.
    pub const fn is_descending(&self) -> bool {
        match self.kind {
            Kind::Name | Kind::Words(_) | Kind::Sentence | Kind::Number | Kind::Seconds => false,
            Kind::Bytes | Kind::Change | Kind::Bar | Kind::Share | Kind::Count | Kind::Time | Kind::Trend => {
                true
            }
        }
    }

    /// Whether it is right-aligned.
    pub const fn is_right(&self) -> bool {
        match self.kind {
            Kind::Name | Kind::Words(_) | Kind::Sentence | Kind::Bar | Kind::Trend | Kind::Time => false,
            Kind::Bytes | Kind::Change | Kind::Share | Kind::Count | Kind::Number | Kind::Seconds => true,
        }
    }

    /// The least and the largest useful width in screen columns.
    pub const fn widths(&self) -> (u16, u16) {
        let title = self.title.len() as u16;
        let least = match self.kind {
            Kind::Name => 16,
            Kind::Words(width) => width,
            Kind::Sentence => 14,
            Kind::Bytes => 5,
            Kind::Change | Kind::Seconds => 6,
            Kind::Bar => 13,
            Kind::Share | Kind::Count => 4,
            Kind::Number => 7,
            Kind::Time => 19,
            Kind::Trend => 10,
        };
        let least = if title > least { title } else { least };
        match self.kind {
            Kind::Name => (least, 64),
            Kind::Sentence => (least, u16::MAX),
            Kind::Bar | Kind::Trend => (least, least + 10),
            Kind::Words(_)
            | Kind::Bytes
            | Kind::Change
            | Kind::Share
            | Kind::Count
            | Kind::Number
            | Kind::Seconds
            | Kind::Time => (least, least),
        }
    }
}

/// The error for an unknown column.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown field {name:?}; known are: {known}")]
pub struct UnknownField {
    name: String,
    known: String,
}

/// Finds a column by its name in JSON, its title, or an alias, ignoring case. A name in JSON takes precedence over a
/// title.
///
/// # Errors
/// The error contains the known names.
pub fn find(columns: &[&'static Column], name: &str) -> Result<(usize, &'static Column), UnknownField> {
    let by = |is_called: &dyn Fn(&Column) -> bool| {
        columns.iter().copied().enumerate().find(|(_, column)| is_called(column))
    };
    by(&|column| column.field.eq_ignore_ascii_case(name))
        .or_else(|| by(&|column| column.is_titled(name)))
        .or_else(|| by(&|column| column.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))))
        .ok_or_else(|| UnknownField { name: name.to_owned(), known: names(columns) })
}

/// `name, usage_bytes (USED), limit_bytes (LIMIT)`: the names that [`find`] accepts, without the aliases.
fn names(columns: &[&'static Column]) -> String {
    let names = columns.iter().map(|column| {
        // In `--fields` a comma separates columns.
        let is_meant = !column.title.contains(',')
            && find(columns, column.title).is_ok_and(|(_, found)| found == *column);
        if is_meant && !column.title.eq_ignore_ascii_case(column.field) {
            format!("{} ({})", column.field, column.title)
        } else {
            column.field.to_owned()
        }
    });
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::find;
    use crate::top::rows::By;

    #[test]
    fn every_column_is_found_as_it_is_shown_and_as_in_json() {
        for by in By::value_variants() {
            let columns = by.columns();
            let said = find(&columns, "colour").unwrap_err().to_string();
            let known = said.strip_prefix("unknown field \"colour\"; known are: ").unwrap();
            for entry in known.split(", ") {
                let (field, title) = entry.split_once(" (").map_or((entry, None), |(a, b)| (a, Some(b)));
                let (_, column) = find(&columns, field).unwrap();
                assert_eq!(column.field, field);
                for title in title.into_iter().filter_map(|title| title.strip_suffix(')')) {
                    for typed in [title.to_owned(), title.to_lowercase(), title.replace(' ', "_")] {
                        assert_eq!(find(&columns, &typed).unwrap().1, column, "{by:?} {typed}");
                    }
                }
            }
            assert_eq!(known.split(", ").count(), columns.len());
        }
    }

    #[test]
    fn a_name_means_one_column() {
        for by in By::value_variants() {
            let columns = by.columns();
            let names: Vec<_> =
                columns.iter().flat_map(|column| column.aliases.iter().chain([&column.field])).collect();
            for name in &names {
                let meant = names.iter().filter(|other| other.eq_ignore_ascii_case(name)).count();
                assert_eq!(meant, 1, "{by:?}: {name}");
            }
        }
    }
}
