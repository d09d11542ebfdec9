//! `memtrace replay`: show the result of a recording.

use std::{fs::File, io::BufReader, io::Write, path::PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;

use super::{
    Failure,
    show::{ShowArgs, show, snapshot_alone},
};
use crate::model::replay::{Replayed, replay};

/// Arguments of `replay`.
#[derive(Debug, Args)]
#[command(after_help = "\
Runs the model on the file and shows what `memtrace record` showed at its end. Needs neither root nor a daemon, and \
reads nothing else from this machine.

Examples:
  memtrace replay node.rec
  memtrace replay node.rec --by arena
  memtrace replay node.rec -o json | jq .processes[0].memory")]
pub struct ReplayArgs {
    /// File written by `memtrace record`.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Options of the output.
    #[command(flatten)]
    pub show: ShowArgs,
}

/// Runs the command.
///
/// # Errors
/// When the file cannot be read, or is not a recording.
pub fn run(args: &ReplayArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let name = args.file.display();
    let file = File::open(&args.file).with_context(|| format!("failed to open {name}"))?;
    let mut last = None;
    let replayed = replay(BufReader::new(file), |snapshot| last = Some(snapshot))
        .with_context(|| format!("failed to replay {name}"))?;
    let Replayed { frames: _, unanswered, is_cut } = replayed;
    if is_cut {
        eprintln!("memtrace: {name} ends in the middle of a frame; showing what came before");
    }
    if unanswered > 0 {
        eprintln!("memtrace: recording {name} lacks {unanswered} inputs; affected values are omitted");
    }
    let snapshot = last.ok_or_else(|| anyhow!("failed to replay {name}: it contains no snapshot"))?;
    show(&snapshot_alone(snapshot), &args.show, true, out)
}
