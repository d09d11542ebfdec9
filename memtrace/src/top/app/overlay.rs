//! Overlays above the rows: help, a report, the list of columns.
//!
//! Plain state, scrolled by the keys.

use crate::{
    oom::record::OomRecord,
    report::{self, Style},
};

/// The largest scroll offset of help: more lines than it has.
const HELP_LINES: usize = 200;

/// An overlay.
#[derive(Clone, Debug, PartialEq)]
pub enum Overlay {
    /// The keys and the columns.
    Help {
        /// Lines scrolled off the top.
        scroll: usize,
    },
    /// The report of a kill, or why there is none.
    Report {
        /// Its lines.
        lines: Vec<String>,
        /// Lines scrolled off the top.
        scroll: usize,
    },
    /// The columns to sort by.
    Menu(Menu),
}

/// The columns to sort by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Menu {
    /// Index of the highlighted entry.
    pub index: usize,
    /// Number of entries.
    pub count: usize,
}

impl Overlay {
    /// The overlay of a report, or of the reason why there is none.
    pub(super) fn report(report: Result<&OomRecord, &String>) -> Self {
        let text = match report {
            Ok(record) => report::text(record, None, Style::default()),
            Err(why) => format!("No report: {why}"),
        };
        Self::Report { lines: text.lines().map(str::to_owned).collect(), scroll: 0 }
    }

    /// Scrolls, or moves the highlighted entry; the view limits it to the end.
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
