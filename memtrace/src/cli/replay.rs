//! `memtrace replay`: show what a recording shows.

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
Runs the model on the file; neither root nor a daemon is needed, and nothing of this machine is read. The result is
what `memtrace record` showed at its end.

Examples:
  memtrace replay node.rec
  memtrace replay node.rec --by arena
  memtrace replay node.rec -o json | jq .processes[0].memory")]
pub struct ReplayArgs {
    /// A file of `memtrace record`.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// How to show it.
    #[command(flatten)]
    pub show: ShowArgs,
}

/// Runs the command.
///
/// # Errors
/// When the file cannot be read, or is no recording.
pub fn run(args: &ReplayArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let name = args.file.display();
    let file = File::open(&args.file).with_context(|| format!("failed to open {name}"))?;
    let mut last = None;
    let replayed = replay(BufReader::new(file), |snapshot| last = Some(snapshot))
        .with_context(|| format!("failed to replay {name}"))?;
    let Replayed { frames: _, unanswered, is_cut } = replayed;
    if is_cut {
        eprintln!("memtrace: {name} ends in the middle of a frame; this is what came before");
    }
    if unanswered > 0 {
        eprintln!("memtrace: {name} lacks {unanswered} answers; what they would have told is not shown");
    }
    let snapshot = last.ok_or_else(|| anyhow!("{name} has no snapshot"))?;
    show(&snapshot_alone(snapshot), &args.show, true, out)
}
