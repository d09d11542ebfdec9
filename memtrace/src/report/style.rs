//! The style of a report: its width, and whether it may use colour.
//!
//! Facts about terminal and environment -> [`Style`]. Colour must not be the only carrier of information.

use std::{env, io};

use rustix::termios::tcgetwinsize;

/// The default width; fits a ticket and half a screen.
pub const WIDTH: usize = 100;
/// The least width for the layout of blocks; tables with very large figures need up to [`WIDTH`].
const NARROWEST: usize = 60;

/// How to lay out text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether ANSI colours may be used.
    pub color: bool,
    /// Columns; less than 60 is taken as 60.
    pub width: usize,
}

impl Default for Style {
    fn default() -> Self {
        Self { color: false, width: WIDTH }
    }
}

/// Facts about the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terminal {
    /// Whether it is a terminal, not a file or a pipe.
    pub is_terminal: bool,
    /// `TERM=dumb`.
    pub is_dumb: bool,
    /// `NO_COLOR` is set and not empty.
    pub no_color: bool,
    /// `CLICOLOR_FORCE` is set to something other than 0.
    pub force_color: bool,
    /// Columns of the terminal.
    pub columns: Option<usize>,
}

impl Terminal {
    /// The style for standard output, from the environment; `is_terminal`: whether standard output is a terminal.
    pub fn from_env(is_terminal: bool) -> Self {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        Self {
            is_terminal,
            is_dumb: set("TERM").is_some_and(|term| term == "dumb"),
            no_color: set("NO_COLOR").is_some(),
            force_color: set("CLICOLOR_FORCE").is_some_and(|value| value != "0"),
            columns: is_terminal.then(columns).flatten(),
        }
    }

    /// Width of a list: that of the terminal, but at least what a list needs.
    pub fn list_width(self) -> usize {
        self.columns.unwrap_or(WIDTH).max(WIDTH)
    }

    /// Whether to use colour by default. `NO_COLOR` overrides `CLICOLOR_FORCE`.
    pub fn wants_color(self) -> bool {
        let Self { is_terminal, is_dumb, no_color, force_color, columns: _ } = self;
        !no_color && (force_color || (is_terminal && !is_dumb))
    }
}

/// Columns of the standard output; `None` if unknown, as on some serial lines.
fn columns() -> Option<usize> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// The meaning of a piece of text, which sets its colour; see [`Style::paint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    Heading,
    /// The cause: the owner of the limit, the decisive row.
    Culprit,
    /// Unknown or lost facts.
    Doubt,
}

impl Style {
    /// Columns to use.
    pub(super) fn columns(self) -> usize {
        self.width.max(NARROWEST)
    }

    /// Colours a piece of one line, with the 16 colours that every terminal shows readably.
    pub(super) fn paint(self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Heading => "1",
            Paint::Culprit => "1;31",
            Paint::Doubt => "33",
            Paint::Plain => "",
        };
        if !self.color || code.is_empty() || text.is_empty() {
            return text.to_owned();
        }
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::Terminal;

    #[test]
    fn colour_is_for_terminals_unless_the_environment_says_otherwise() {
        let terminal = Terminal { is_terminal: true, ..Terminal::default() };
        assert!(terminal.wants_color());
        assert!(!Terminal::default().wants_color());
        assert!(!Terminal { is_dumb: true, ..terminal }.wants_color());
        assert!(!Terminal { no_color: true, ..terminal }.wants_color());
        assert!(Terminal { force_color: true, ..Terminal::default() }.wants_color());
        assert!(Terminal { force_color: true, is_dumb: true, ..terminal }.wants_color());
        assert!(!Terminal { force_color: true, no_color: true, ..terminal }.wants_color());
    }
}
