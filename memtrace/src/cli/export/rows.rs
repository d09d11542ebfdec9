//! `memtrace export rows`: the lasting history of workloads, one row for each five minutes.

use std::io::Write;

use clap::Args;
use jiff::Timestamp;

use super::{TableArgs, failure, warn_of_damage};
use crate::{
    cli::{Failure, report::When},
    export::{
        rows::{COLUMNS, WorkloadRow},
        table::Rows,
    },
    history::lasting::slot_of,
    store::Store,
};

/// Arguments of `export rows`.
#[derive(Debug, Args)]
#[command(after_help = "\
One row for each workload and five minutes, oldest first: what `memtrace advise` computes requests and limits from. The
daemon keeps 35 days. docs/export.md describes the columns.

Examples:
  memtrace export rows --since 1d > day.ndjson
  memtrace export rows --since 2026-11-01T00:00:00Z --until 2026-11-02T00:00:00Z -o csv --out day.csv")]
pub struct RowsArgs {
    /// Only rows since this time: RFC 3339, or an age (90s, 30m, 2h, 7d).
    #[arg(long, value_name = "TIME", value_parser = When::parse)]
    pub since: Option<When>,
    /// Only rows before this time: RFC 3339, or an age.
    #[arg(long, value_name = "TIME", value_parser = When::parse)]
    pub until: Option<When>,
    /// Form and places.
    #[command(flatten)]
    pub table: TableArgs,
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &RowsArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let store = args.table.store()?;
    let now = Timestamp::now();
    let slot = |when: When| slot_of(when.at(now).as_second());
    let until = args.until.map(slot);
    let mut damaged = 0;
    args.table.to.fill(out, |out| {
        let mut rows = Rows::begin(COLUMNS, args.table.form(), out)?;
        let mut place = Some(Store::first_row(args.since.map_or(0, slot)));
        while let Some(from) = place {
            let page = store.rows_from(from, until).map_err(failure)?;
            for (workload, row) in page.rows {
                rows.write(&WorkloadRow { workload, row })?;
            }
            damaged += page.damaged;
            place = page.next;
        }
        Ok(())
    })?;
    warn_of_damage(damaged, "rows");
    Ok(())
}
