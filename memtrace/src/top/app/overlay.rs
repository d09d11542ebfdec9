//! What lies over the rows: help, a report, the list of columns.
//!
//! Plain state, scrolled by the keys.

use crate::{
    oom::record::OomRecord,
    report::{self, Style},
};

/// More lines than help has: the furthest that it can be scrolled.
const HELP_LINES: usize = 200;

/// What lies over the rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Overlay {
    /// The keys and the columns.
    Help {
        /// Lines that are scrolled away.
        scroll: usize,
    },
    /// The report of a kill, or why there is none.
    Report {
        /// Its lines.
        lines: Vec<String>,
        /// Lines that are scrolled away.
        scroll: usize,
    },
    /// The columns to sort by.
    Menu(Menu),
}

/// The columns to sort by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Menu {
    /// The one that would be chosen.
    pub index: usize,
    /// How many there are.
    pub count: usize,
}

impl Overlay {
    /// A report's text.
    pub(super) fn report(report: Result<&OomRecord, &String>) -> Self {
        let text = match report {
            Ok(record) => report::text(record, Style::default()),
            Err(why) => format!("No report: {why}"),
        };
        Self::Report { lines: text.lines().map(str::to_owned).collect(), scroll: 0 }
    }

    /// Moves what is shown, or the choice; the view knows where the end is on the screen.
    pub(super) fn go(&mut self, by: isize) {
        match self {
            Self::Help { scroll } => *scroll = scroll.saturating_add_signed(by).min(HELP_LINES),
            Self::Report { lines, scroll } => {
                *scroll = scroll.saturating_add_signed(by).min(lines.len().saturating_sub(1));
            }
            Self::Menu(Menu { index, count }) => {
                *index = index.saturating_add_signed(by).min(count.saturating_sub(1));
            }
        }
    }
}
