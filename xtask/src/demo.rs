//! `demo`: memtrace at work on a program that runs into its memory limit.
//!
//! Machine -> live view, kill and report on the terminal. Must leave the machine as it found it, also when
//! it fails or is interrupted: every thing it makes goes when its guard is dropped.

use std::{os::unix::process::ExitStatusExt as _, path::PathBuf, process, time::Duration};

use anyhow::{Context as _, Result, bail};

use xtask_base::{build, cgroup::Cgroup, requirements, workspace::Workspace};

use crate::setup;

pub(crate) mod agent;
pub(crate) mod patience;
mod program;

use agent::Agent;
use patience::Patience;
use program::Program;

/// Let the kernel kill a program at its memory limit, and show memtrace's report.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Memory limit of the program, in MiB
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u64).range(16..=4096))]
    limit_mib: u64,
    /// A memtrace to show instead of building one
    #[arg(long, hide = true)]
    bin: Option<PathBuf>,
}

const HELP: &str =
    "\
Needs root with CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN, and a writable memory cgroup (v1 or v2). If something is \
missing, the demo names it and exits with 4. Takes about 15 seconds after the build.

Examples:
  sudo -E cargo xtask demo
  sudo -E cargo xtask demo --limit-mib 256";

const SIGKILL: i32 = 9;
/// How long the program takes to reach its limit, whatever the limit is.
const GROWTH: Duration = Duration::from_secs(6);
/// Lines of `memtrace top` that are shown: the header and the largest consumers.
const TOP_LINES: usize = 14;

pub(crate) fn run(args: &Args) -> Result<()> {
    let home = requirements::check()?;
    let bin = match &args.bin {
        Some(bin) => bin.clone(),
        None => {
            let workspace = Workspace::find()?;
            setup::ensure(&workspace)?;
            build::quick(&workspace)?
        }
    };
    let patience = Patience::until_interrupted()?;
    let state = tempfile::Builder::new().prefix("memtrace-demo-").tempdir();
    let state = state.context("failed to create a directory for the daemon's state")?;

    heading("starting the daemon");
    let mut agent = Agent::start(&bin, state.path())?;
    agent.wait_until_ready(&patience)?;

    let limit = args.limit_mib << 20;
    let name = format!("memtrace-demo-{}", process::id());
    let cgroup = Cgroup::create(home, &name, limit)?;
    heading(&format!(
        "starting a program in {} with a limit of {} MiB",
        cgroup.dir().display(),
        args.limit_mib
    ));
    let mut program = Program::start(&cgroup, args.limit_mib, pace(args.limit_mib))?;
    println!("pid {}", program.pid());
    for (share, part) in [(limit / 3, "a third"), (limit / 3 * 2, "two thirds")] {
        let reached = || Ok((cgroup.usage() >= Some(share) || program.exited()?.is_some()).then_some(()));
        patience.wait("see the program grow", Duration::from_secs(60), reached)?;
        heading(&format!("memtrace top --once (the program uses {part} of its limit)"));
        println!("{}", first_lines(&agent.top()?, TOP_LINES));
    }
    let end = patience.wait("see the program killed", Duration::from_secs(60), || program.exited())?;
    if end.signal() != Some(SIGKILL) {
        bail!("the kernel did not kill the program: it ended with {end}");
    }

    heading("the kernel killed the program; memtrace report --last");
    let report = agent.wait_for_report(&patience, program.pid());
    println!("{}", report.as_deref().unwrap_or_default());
    agent.stop()?;
    judge(&report?, program.pid(), &name)?;
    heading(&format!("done: as expected, the report names pid {} and cgroup {name}", program.pid()));
    Ok(())
}

/// Sets up, builds, and says where the program is.
pub(crate) fn built() -> Result<PathBuf> {
    let workspace = Workspace::find()?;
    setup::ensure(&workspace)?;
    build::build(&workspace)?;
    Ok(workspace.memtrace())
}

fn heading(text: &str) {
    println!("\n== {text}");
}

/// Time between two MiB.
fn pace(limit_mib: u64) -> Duration {
    let parts = u32::try_from(limit_mib).unwrap_or(u32::MAX).max(1);
    (GROWTH / parts).max(Duration::from_millis(1))
}

fn first_lines(text: &str, lines: usize) -> String {
    text.lines().take(lines).collect::<Vec<_>>().join("\n")
}

fn judge(report: &str, pid: u32, cgroup: &str) -> Result<()> {
    if !names_pid(report, pid) {
        bail!("failed to find pid {pid}, which was killed, in the report");
    }
    if !report.contains(cgroup) {
        bail!("failed to find the cgroup {cgroup} in the report");
    }
    Ok(())
}

/// True when the number stands in the text as a whole number.
fn names_pid(text: &str, pid: u32) -> bool {
    let pid = pid.to_string();
    text.split(|c: char| !c.is_ascii_digit()).any(|number| number == pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_inside_a_longer_number_is_not_named() {
        assert!(names_pid("victim 123 (grow)", 123));
        assert!(!names_pid("victim 41234, 64123 KiB", 123));
    }

    #[test]
    fn a_report_must_name_both_the_program_and_its_cgroup() {
        assert!(judge("killed 7 in /memtrace-demo-5", 7, "memtrace-demo-5").is_ok());
        assert!(judge("killed 7 in /other", 7, "memtrace-demo-5").is_err());
        assert!(judge("killed 8 in /memtrace-demo-5", 7, "memtrace-demo-5").is_err());
    }

    #[test]
    fn the_program_takes_the_same_time_for_any_limit() {
        assert_eq!(pace(64).as_millis() * 64 / 1000, 5);
        assert_eq!(pace(1000), Duration::from_millis(6));
        assert_eq!(pace(0), GROWTH);
    }
}
