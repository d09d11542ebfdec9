//! A snapshot as a plain table: header, then one line a row.
//!
//! Input: `&Snapshot`. Output: text of a given width. Pure; the rows of each kind are in a file of their own.

mod arena;
mod container;
mod header;
mod process;

use std::fmt::Write as _;

use crate::{snapshot::Snapshot, units::Bytes};

/// How to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// What a row is.
    pub by: By,
    /// Columns to fill at most; the cgroup is cut to fit, from its start.
    pub width: usize,
    /// Rows to show at most.
    pub rows: usize,
}

/// What a row is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// A cgroup.
    Container,
    /// A process.
    #[default]
    Process,
    /// An allocator's use in a process.
    Arena,
}

/// The table.
pub fn table(snapshot: &Snapshot, options: Options) -> String {
    let mut out = header::header(snapshot);
    out.push('\n');
    out.push_str(&match options.by {
        By::Process => process::rows(snapshot, options),
        By::Container => container::rows(snapshot, options),
        By::Arena => arena::rows(snapshot, options),
    });
    out
}

/// `and 12 more`, where there are more.
fn more(out: &mut String, all: usize, shown: usize) {
    let hidden = all.saturating_sub(shown);
    if hidden > 0 {
        let _ = writeln!(out, "{:>8} and {hidden} more", "");
    }
}

/// Share of a limit, in percent.
fn share(used: Option<Bytes>, limit: Option<Bytes>) -> Option<String> {
    let (Bytes(used), Bytes(limit)) = (used?, limit?);
    (limit > 0).then(|| format!("{:.0}%", used as f64 * 100.0 / limit as f64))
}

/// `+1.5 MiB`, `-200.0 KiB`, `0`: a figure that rounds to nothing is nothing.
fn signed(bytes: f64) -> String {
    let size = Bytes(bytes.abs().round() as u64);
    match size {
        Bytes(0) => "0".to_owned(),
        size if bytes < 0.0 => format!("-{size}"),
        size => format!("+{size}"),
    }
}

fn or_dash(value: Option<String>) -> String {
    value.unwrap_or_else(|| "-".to_owned())
}

fn keep_start(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    text.chars().take(columns.saturating_sub(1)).chain(['…']).collect()
}

/// The end of a path tells more than its start.
fn keep_end(text: &str, columns: usize) -> String {
    let length = text.chars().count();
    if length <= columns {
        return text.to_owned();
    }
    ['…'].into_iter().chain(text.chars().skip(length.saturating_sub(columns.saturating_sub(1)))).collect()
}

#[cfg(test)]
#[path = "table/tests.rs"]
mod tests;
