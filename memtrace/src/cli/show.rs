//! A snapshot on stdout, as `top --once` and `replay` print it.
//!
//! Input: a snapshot and how to show it. Output: a table or JSON.

use std::io::Write;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use super::Failure;
use crate::{
    snapshot::Snapshot,
    top::table::{self, Options, table},
};

/// How to show a snapshot.
#[derive(Clone, Debug, Args)]
pub struct ShowArgs {
    /// What a row of the table is.
    #[arg(long, value_enum, default_value_t = By::Process)]
    pub by: By,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// Rows of the table at most.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 30)]
    pub rows: usize,
}

impl Default for ShowArgs {
    fn default() -> Self {
        Self { by: By::Process, output: Format::Table, rows: 10 }
    }
}

/// What a row of the table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// A cgroup, with what the kernel charges it.
    Container,
    /// A process.
    Process,
    /// An allocator's use in a process: whose memory it is.
    Arena,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs: everything, in bytes.
    Json,
}

/// Prints it.
///
/// # Errors
/// When it cannot be written.
pub fn show(snapshot: &Snapshot, args: &ShowArgs, out: &mut dyn Write) -> Result<(), Failure> {
    match args.output {
        Format::Table => {
            let by = match args.by {
                By::Container => table::By::Container,
                By::Process => table::By::Process,
                By::Arena => table::By::Arena,
            };
            write!(out, "{}", table(snapshot, Options { by, width: width(), rows: args.rows }))?;
            Ok(())
        }
        Format::Json => json(snapshot, out),
    }
}

/// Prints it as JSON.
///
/// # Errors
/// When it cannot be written.
pub fn json(snapshot: &Snapshot, out: &mut dyn Write) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(snapshot).context("failed to write JSON")?;
    writeln!(out, "{json}")?;
    Ok(())
}

/// Columns of the terminal; a hundred where there is none.
fn width() -> usize {
    rustix::termios::tcgetwinsize(std::io::stdout()).map_or(0, |size| usize::from(size.ws_col)).max(100)
}
