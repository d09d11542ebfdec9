//! `memtrace export kills`: one flat row for each OOM kill.

use std::io::Write;

use clap::Args;
use jiff::Timestamp;

use super::{TableArgs, failure, warn_of_damage};
use crate::{
    cli::{Failure, report::Span},
    export::{kills::COLUMNS, table::Rows},
};

/// Arguments of `export kills`.
#[derive(Debug, Args)]
#[command(after_help = "\
One row for each kill, oldest first, with the main fields of its record; `memtrace report show ID -o json` has all of
them. docs/export.md describes the columns.

Examples:
  memtrace export kills                                    all kills as NDJSON, on stdout
  memtrace export kills --since 1h --out /srv/kills.ndjson    a file that is there only when it is complete
  memtrace export kills -o csv | column -s, -t | less -S
  memtrace export kills --since 30d | jq -r '[.cause, .image] | @tsv' | sort | uniq -c")]
pub struct KillsArgs {
    /// Which kills.
    #[command(flatten)]
    pub span: Span,
    /// Form and places.
    #[command(flatten)]
    pub table: TableArgs,
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &KillsArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let store = args.table.store()?;
    let filter = args.span.filter(Timestamp::now());
    let mut damaged = 0;
    args.table.to.fill(out, |out| {
        let mut rows = Rows::begin(COLUMNS, args.table.form(), out)?;
        let mut place = Some(store.first_kill(&filter).map_err(failure)?);
        while let Some(from) = place {
            let page = store.kills_from(&from, &filter).map_err(failure)?;
            for kill in &page.kills {
                rows.write(kill)?;
            }
            damaged += page.damaged;
            place = page.next;
        }
        Ok(())
    })?;
    warn_of_damage(damaged, "records");
    Ok(())
}
