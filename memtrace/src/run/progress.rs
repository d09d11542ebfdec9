//! The progress line of `memtrace run`.
//!
//! Figures -> one line on stderr that is written over and cleared, where that disturbs nobody.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use crate::units::Bytes;

/// Back to the start of the line, and clear it.
const CLEAR: &str = "\r\x1b[K";

/// The line.
#[derive(Debug)]
pub struct Progress {
    is_on: bool,
    is_shown: bool,
    /// Which run it is of.
    run: String,
}

impl Progress {
    /// On a terminal that the command does not write on; `always` puts up with a mix of both on one terminal.
    pub fn new(always: bool) -> Self {
        let is_on = io::stderr().is_terminal() && (always || !io::stdout().is_terminal());
        Self { is_on, is_shown: false, run: String::new() }
    }

    /// Says which run begins.
    pub fn begin(&mut self, run: String) {
        self.run = run;
    }

    /// Shows how far it is.
    pub fn show(&mut self, at: Duration, usage: Option<Bytes>, crest: Option<Bytes>, limit: Option<Bytes>) {
        if !self.is_on {
            return;
        }
        let line = line(&self.run, at, usage, crest, limit);
        // A terminal that is gone must not end the command.
        let _ = write!(io::stderr(), "{CLEAR}{line}");
        self.is_shown = true;
    }

    /// Clears the line.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            let _ = write!(io::stderr(), "{CLEAR}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn line(run: &str, at: Duration, usage: Option<Bytes>, crest: Option<Bytes>, limit: Option<Bytes>) -> String {
    let text = |bytes: Option<Bytes>| bytes.map_or_else(|| "unknown".to_owned(), |bytes| bytes.to_string());
    let limit = limit.map_or_else(String::new, |limit| format!(" of {limit}"));
    let run = if run.is_empty() { String::new() } else { format!("{run}, ") };
    format!("memtrace: {run}{} s, {}{limit}, highest {}", at.as_secs(), text(usage), text(crest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_figures_are_not_zero() {
        let at = Duration::from_millis(2900);
        assert_eq!(line("", at, None, None, None), "memtrace: 2 s, unknown, highest unknown");
        assert_eq!(
            line("run 2 of 3", at, Some(Bytes(1 << 20)), Some(Bytes(2 << 20)), Some(Bytes(4 << 20))),
            "memtrace: run 2 of 3, 2 s, 1.0 MiB of 4.0 MiB, highest 2.0 MiB"
        );
    }
}
