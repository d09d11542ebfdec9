//! What `memtrace run` costs the command that it runs.
//!
//! Commands of a second or two -> their time under `memtrace run`, against the same command alone, in pairs. The whole
//! program is timed, from its start to its end with the page written.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use super::{
    load::Programs,
    say,
    stats::{Interval, Summary, interval, ratios, summary},
};

/// One command, with and without.
#[derive(Debug, Serialize)]
pub(crate) struct Running {
    pub(crate) does: &'static str,
    /// Alone, in seconds.
    pub(crate) alone_seconds: Option<Summary>,
    /// Of each pair, with to without.
    pub(crate) ratio: Option<Summary>,
    /// Where the median of all such ratios is, with 95 % confidence.
    pub(crate) interval: Option<Interval>,
    /// What a run took longer, in ms.
    pub(crate) added_ms: Option<Summary>,
}

/// Arguments of bench/load.c: one CPU that calculates little and faults much, threads, and many short children.
const COMMANDS: [(&str, &[&str]); 3] = [
    ("mmap, 8 page faults, munmap, one thread", &["mmap8", "200000"]),
    ("malloc and free, 2 threads", &["churn", "6000000", "2"]),
    ("fork, exec and wait", &["spawn", "2000"]),
];

pub(crate) fn measure(bin: &Path, programs: &Programs, pairs: usize) -> Result<Vec<Running>> {
    COMMANDS.iter().map(|(does, arguments)| running(bin, programs, does, arguments, pairs)).collect()
}

fn running(
    bin: &Path,
    programs: &Programs,
    does: &'static str,
    arguments: &[&str],
    pairs: usize,
) -> Result<Running> {
    say(&format!("memtrace run: {does}"));
    let alone = || timed(Command::new(&programs.load).args(arguments));
    let under = || {
        let mut run = Command::new(bin);
        run.args(["run", "--alone", "--page", "/dev/null", "--"]).arg(&programs.load).args(arguments);
        timed(&mut run)
    };
    // Once before, so that nothing is read from the disk in the first pair.
    under()?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        // What comes first, and what the machine did before, is neither one's own.
        if pair % 2 == 0 {
            without.push(alone()?);
            with.push(under()?);
        } else {
            with.push(under()?);
            without.push(alone()?);
        }
    }
    let added: Vec<f64> = with.iter().zip(&without).map(|(with, without)| (with - without) * 1e3).collect();
    let ratios = ratios(&with, &without);
    Ok(Running {
        does,
        alone_seconds: summary(&without),
        ratio: summary(&ratios),
        interval: interval(&ratios),
        added_ms: summary(&added),
    })
}

fn timed(command: &mut Command) -> Result<f64> {
    let begin = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let took = begin.elapsed().as_secs_f64();
    let status = status.context("failed to start the command")?;
    ensure!(status.success(), "the command failed: {status}");
    Ok(took)
}
