//! `grow` (hidden): the program that `demo` and `bench` watch die.
//!
//! Cgroup and pace -> a process that moves itself there and takes memory until it is killed.
//! Must not outlive the demo.

use std::{ffi::CString, fs, hint, path::PathBuf, process, thread, time::Duration};

use anyhow::{Context as _, Result, bail};

const MIB: usize = 1 << 20;

/// Take memory in a cgroup until killed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// File to write our pid to: the cgroup's cgroup.procs
    #[arg(long)]
    procs: PathBuf,
    /// Milliseconds between two MiB
    #[arg(long)]
    pace_ms: u64,
    /// Give up after this many MiB: the limit was not enforced
    #[arg(long)]
    give_up_mib: usize,
    /// Keep what is taken, after this many MiB
    #[arg(long)]
    hold_mib: Option<usize>,
    /// Name of the program
    #[arg(long, default_value = "memtrace-demo")]
    name: CString,
}

/// Takes memory until killed; an error where that does not happen.
pub fn run(args: &Args) -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .context("failed to ask for a signal when the demo ends")?;
    rustix::thread::set_name(&args.name).context("failed to set the name of the program")?;
    fs::write(&args.procs, process::id().to_string())
        .with_context(|| format!("failed to write {}", args.procs.display()))?;
    let mut taken = Vec::new();
    while taken.len() < args.give_up_mib {
        while args.hold_mib.is_some_and(|most| taken.len() >= most) {
            thread::park();
        }
        // Ones, not zeros: zeroed memory would not be touched.
        taken.push(vec![1u8; MIB]);
        hint::black_box(&taken);
        thread::sleep(Duration::from_millis(args.pace_ms));
    }
    bail!(
        "the kernel did not kill this program: it took {} MiB, the limit of the cgroup is not enforced",
        args.give_up_mib
    )
}
