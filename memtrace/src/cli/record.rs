//! `memtrace record`: record tracer input for `memtrace replay`.

use std::{io::Write, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

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
Attaches its own probes; a running daemon is not disturbed. The file contains names, paths and addresses of the \
recorded processes, but no memory contents. `memtrace replay` shows the same result again, on any machine.

Examples:
  sudo memtrace record --out node.rec --for 30
  sudo memtrace record --out one.rec --pid 4711       one process and its descendants, until ^C
  memtrace replay one.rec --by arena")]
pub struct RecordArgs {
    /// File to write; it must not exist yet.
    #[arg(long = "out", value_name = "FILE")]
    pub file: PathBuf,
    /// Stop after this many seconds [default: on ^C].
    #[arg(long = "for", value_name = "SECONDS")]
    pub seconds: Option<u64>,
    /// Record only this process and its descendants; may be repeated.
    #[arg(long, value_name = "PID")]
    pub pid: Vec<u32>,
    /// Stop when the file reaches this size in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub max_size: u64,
    /// CPU limit for reading page tables, in percent of one CPU.
    #[arg(long, value_name = "PERCENT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub scan_share: u32,
    /// What to print at the end.
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = Form::Table)]
    pub output: Form,
    /// Options of the tracer.
    #[command(flatten)]
    pub probe: ProbeArgs,
}

/// What is printed of the last snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Table of the ten largest processes.
    Table,
    /// JSON: the whole snapshot.
    Json,
}

/// Runs the command.
///
/// # Errors
/// Exit code 4 when not permitted, otherwise 1.
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
    if args.output == Form::Json {
        return show::json(&recorded.snapshot, out);
    }
    let show_args = ShowArgs { by: Some(By::Process), most: Some(10), ..ShowArgs::default() };
    show::show(&show::snapshot_alone(recorded.snapshot), &show_args, true, out)?;
    writeln!(out, "\nrecorded {} in {}", Bytes(recorded.bytes), args.file.display())?;
    Ok(())
}
