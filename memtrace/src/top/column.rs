//! What a column is: its name everywhere, its width, and how soon it gives way.
//!
//! Plain data. The columns of each kind of row are beside its rows.

/// What stands in a column, which decides how it is drawn, and how a filter reads a number for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What people call the row; its end tells most. Takes what room there is.
    Name,
    /// A word or a few; its beginning tells most.
    Words(u16),
    /// A sentence; takes the room that is left.
    Sentence,
    /// A size.
    Bytes,
    /// A size with a sign.
    Change,
    /// A part of one, with a bar.
    Bar,
    /// A part of one.
    Share,
    /// A number of things.
    Count,
    /// A number that names something.
    Number,
    /// A length of time.
    Seconds,
    /// A point in time.
    Time,
    /// A size over time.
    Trend,
}

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in JSON and CSV, and for `--fields`, `--sort` and filters.
    pub field: &'static str,
    /// Its title.
    pub title: &'static str,
    /// Shorter names for `--fields`, `--sort` and filters.
    pub aliases: &'static [&'static str],
    /// What stands in it.
    pub kind: Kind,
    /// The higher, the sooner it gives way on a narrow screen; see [`Column::HIDDEN`].
    pub rank: u8,
    /// What it means.
    pub about: &'static str,
}

impl Column {
    /// The rank of a column that is shown only when it is asked for.
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

    /// With other names.
    pub const fn or(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    /// Whether this is its name, in any case.
    pub fn is_called(&self, name: &str) -> bool {
        std::iter::once(&self.field).chain(self.aliases).any(|known| known.eq_ignore_ascii_case(name))
    }

    /// The name that is quickest typed.
    pub fn shortest(&self) -> &'static str {
        self.aliases.first().copied().unwrap_or(self.field)
    }

    /// Whether the largest comes first when one sorts by it.
    pub const fn is_descending(&self) -> bool {
        match self.kind {
            Kind::Name | Kind::Words(_) | Kind::Sentence | Kind::Number | Kind::Seconds => false,
            Kind::Bytes | Kind::Change | Kind::Bar | Kind::Share | Kind::Count | Kind::Time | Kind::Trend => {
                true
            }
        }
    }

    /// Whether it stands at the right of its column.
    pub const fn is_right(&self) -> bool {
        match self.kind {
            Kind::Name | Kind::Words(_) | Kind::Sentence | Kind::Bar | Kind::Trend | Kind::Time => false,
            Kind::Bytes | Kind::Change | Kind::Share | Kind::Count | Kind::Number | Kind::Seconds => true,
        }
    }

    /// Columns of the screen that it needs, and can make use of.
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
