//! `enter` (hidden): becomes a program in a cgroup.
//!
//! Cgroup and command -> that command, from its first page on charged to the cgroup. Must not outlive the bench.

use std::{ffi::OsString, fs, os::unix::process::CommandExt as _, path::PathBuf, process};

use anyhow::{Context as _, Result, bail};

/// Become a program in a cgroup.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// File to write our pid to: the cgroup's cgroup.procs
    #[arg(long)]
    procs: PathBuf,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    words: Vec<OsString>,
}

/// Returns only where that fails.
pub(crate) fn run(args: &Args) -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .context("failed to ask for a signal when the bench ends")?;
    fs::write(&args.procs, process::id().to_string())
        .with_context(|| format!("failed to write {}", args.procs.display()))?;
    let Some((program, arguments)) = args.words.split_first() else { bail!("there is no program to become") };
    let error = process::Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("failed to run {}", program.display()))
}
