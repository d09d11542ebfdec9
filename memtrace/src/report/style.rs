//! How a report looks: its width, and whether it may use colour.
//!
//! The terminal's and the environment's facts -> [`Style`]. Colour only repeats what the words say.

use std::{env, io};

use rustix::termios::tcgetwinsize;

/// The widest line where nothing else is asked for; fits a ticket and a half screen.
pub const WIDTH: usize = 100;
/// Blocks cannot be laid out in less, and tables with very large figures need up to [`WIDTH`].
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

/// What is known about the place where text goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terminal {
    /// Whether it is a terminal at all, not a file or a pipe.
    pub is_terminal: bool,
    /// `TERM=dumb`.
    pub is_dumb: bool,
    /// `NO_COLOR` is set to something.
    pub no_color: bool,
    /// `CLICOLOR_FORCE` is set to something that is not 0.
    pub force_color: bool,
    /// Columns of the terminal.
    pub columns: Option<usize>,
}

impl Terminal {
    /// Reads the environment, for text that goes to the standard output; `is_terminal` says whether that is one.
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

    /// Columns for a list: all that the terminal has, and never less than a list needs.
    pub fn list_width(self) -> usize {
        self.columns.unwrap_or(WIDTH).max(WIDTH)
    }

    /// Whether colour is welcome here when the user did not say. `NO_COLOR` wins over `CLICOLOR_FORCE`.
    pub fn wants_color(self) -> bool {
        let Self { is_terminal, is_dumb, no_color, force_color, columns: _ } = self;
        !no_color && (force_color || (is_terminal && !is_dumb))
    }
}

/// Columns of the standard output; `None` where it does not say, as over some serial lines.
fn columns() -> Option<usize> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// What a stretch of text is; see [`Style::paint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    Heading,
    /// The cause: whose limit, which row.
    Culprit,
    /// What is unknown or was lost.
    Doubt,
}

impl Style {
    /// Columns to use.
    pub(super) fn columns(self) -> usize {
        self.width.max(NARROWEST)
    }

    /// Colours a stretch of one line, from the 16 colours that every terminal maps to something readable.
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
