//! `memtrace export`: kills, history and profiles in forms that other programs read.
//!
//! Arguments, the store, the daemon -> bytes on stdout or in a file. Must not write to the store.

mod kills;
pub(super) mod output;
mod pprof;
mod rows;

use std::{io::Write, path::PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use self::output::OutputArgs;
use super::Failure;
use crate::{
    export::table::Form,
    store::{Store, StoreError},
};

/// Arguments of `export`.
#[derive(Debug, Args)]
#[command(after_help = "\
Nothing is sent anywhere: export writes to stdout, or to the file that you name. docs/export.md describes all columns.

Examples:
  memtrace export kills --since 7d > kills.ndjson
  memtrace export kills -o csv --out kills.csv
  memtrace export rows --since 1d -o csv --out rows.csv
  memtrace export pprof shop/cart-0 --out cart.pb.gz

Exit codes: 0 ok, 1 failed, 2 usage, 3 no daemon or store, 4 not permitted.")]
pub struct ExportArgs {
    /// The subcommand.
    #[command(subcommand)]
    pub what: What,
}

/// What to export.
#[derive(Debug, Subcommand)]
pub enum What {
    /// OOM kills, one row each; works without a daemon.
    Kills(kills::KillsArgs),
    /// The lasting history of workloads, one row for each five minutes; works without a daemon.
    Rows(rows::RowsArgs),
    /// The call stacks of a target that touched new memory, as a profile.
    Pprof(pprof::PprofArgs),
}

/// Where rows come from, and their form.
#[derive(Debug, Args)]
pub struct TableArgs {
    /// Output format.
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = Format::Ndjson)]
    pub output: Format,
    /// Where they go.
    #[command(flatten)]
    pub to: OutputArgs,
    /// State directory of the daemon.
    #[arg(long, value_name = "DIR", env = "MEMTRACE_STATE_DIR", default_value = "/var/lib/memtrace")]
    pub state_dir: PathBuf,
}

/// Format of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object per line; unknown values are null.
    Ndjson,
    /// Comma-separated (RFC 4180) with a header; unknown values are empty. Text that a spreadsheet would take for a
    /// formula begins with an apostrophe.
    Csv,
}

impl TableArgs {
    fn form(&self) -> Form {
        match self.output {
            Format::Ndjson => Form::Ndjson,
            Format::Csv => Form::Csv,
        }
    }

    fn store(&self) -> Result<Store, Failure> {
        Store::open_read_only(&self.state_dir).map_err(|error| match error {
            StoreError::Missing { .. } => Failure::NoDaemon(anyhow::anyhow!(
                "no store in {}: run `memtrace daemon`, or name its state directory with --state-dir",
                self.state_dir.display()
            )),
            error => failure(error),
        })
    }
}

fn failure(error: StoreError) -> Failure {
    if error.is_denied() { Failure::NotPermitted(error.into()) } else { Failure::Failed(error.into()) }
}

/// Says on stderr what is missing in the output.
fn warn_of_damage(damaged: u64, what: &str) {
    if damaged > 0 {
        eprintln!("memtrace: {damaged} {what} of the store could not be read and are left out");
    }
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &ExportArgs, out: &mut dyn Write) -> Result<(), Failure> {
    match &args.what {
        What::Kills(args) => kills::run(args, out),
        What::Rows(args) => rows::run(args, out),
        What::Pprof(args) => pprof::run(args, out),
    }
}

#[cfg(test)]
mod tests;
