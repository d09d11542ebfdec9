//! `memtrace record`: keep what the tracer sees, to be run again.

use std::{io::Write, path::PathBuf, time::Duration};

use clap::Args;

use super::{
    Failure,
    args::ProbeArgs,
    show::{self, ShowArgs},
};
use crate::{
    daemon::recording::{Config, record},
    top::rows::By,
    units::Bytes,
};

/// Arguments of `record`.
#[derive(Debug, Args)]
#[command(after_help = "\
Attaches probes of its own; a running daemon is not disturbed. The file holds names, paths and addresses of what it
watched, no contents of memory. What it showed at its end, `memtrace replay` shows again, on any machine.

Examples:
  sudo memtrace record --out node.rec --for 30
  sudo memtrace record --out one.rec --pid 4711       that process and its descendants, until ^C
  memtrace replay one.rec --by arena")]
pub struct RecordArgs {
    /// Where to write; the file must not be there yet.
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    pub file: PathBuf,
    /// For so many seconds; until ^C without it.
    #[arg(long = "for", value_name = "SECONDS")]
    pub seconds: Option<u64>,
    /// This process and its descendants alone; may be repeated.
    #[arg(long, value_name = "PID")]
    pub pid: Vec<u32>,
    /// End when the file has so many MiB.
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub max_size: u64,
    /// Spend at most this part of one CPU, in percent, on reading page tables.
    #[arg(long, value_name = "PERCENT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub scan_share: u32,
    /// Print the last snapshot as JSON at the end.
    #[arg(long)]
    pub json: bool,
    /// How to trace.
    #[command(flatten)]
    pub probe: ProbeArgs,
}

/// Runs the command.
///
/// # Errors
/// 4 when not permitted, else 1.
pub fn run(args: &RecordArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let config = Config {
        file: args.file.clone(),
        limit: args.max_size.saturating_mul(1 << 20),
        duration: args.seconds.map(Duration::from_secs),
        pids: args.pid.clone(),
        options: args.probe.options(),
        scan_share: args.scan_share,
    };
    let recorded = record(&config)?;
    if args.json {
        return show::json(&recorded.snapshot, out);
    }
    let show_args = ShowArgs { by: Some(By::Process), most: Some(10), ..ShowArgs::default() };
    show::show(&show::snapshot_alone(recorded.snapshot), &show_args, true, out)?;
    writeln!(out, "\n{} in {}", Bytes(recorded.bytes), args.file.display())?;
    Ok(())
}
