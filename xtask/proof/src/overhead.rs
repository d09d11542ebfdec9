//! What `memtrace run` costs a command: its time with and without, in turns.
//!
//! A program -> [`Cost`]: ratios with intervals. Must not judge them: machines differ, and this one is shared.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use xtask_base::process;

use super::{
    ask::{Memtrace, Page},
    program::Program,
    stats::{Interval, mean, median},
};

/// Milliseconds of a tick (USER_HZ is 100 on all architectures that memtrace knows).
const TICK: f64 = 10.0;

/// What a command took longer.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cost {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) pairs: usize,
    /// Seconds without memtrace, in the median.
    pub(crate) seconds: f64,
    /// Wall time from start to end of `memtrace run`, to that of the command alone.
    pub(crate) total: Interval,
    /// The command's own wall time in `memtrace run`, to that alone.
    pub(crate) own: Interval,
    /// Milliseconds of CPU time that all take longer, in the mean: the kernel counts in ticks of ten.
    pub(crate) cpu: Interval,
    /// Milliseconds that the total takes longer.
    pub(crate) longer: Interval,
}

/// One run.
#[derive(Clone, Copy, Debug, Default)]
struct Took {
    seconds: f64,
    ticks: f64,
    /// As the page tells it.
    own: f64,
}

/// Runs it with and without so many times; each pair begins with the other of both.
///
/// # Errors
/// When it cannot be run.
pub(crate) fn measure(memtrace: &Memtrace, program: &Program, pairs: usize) -> Result<Cost> {
    let dir = tempfile::tempdir().context("failed to create a directory")?;
    program.prepare(dir.path())?;
    let page = dir.path().join("page.json");
    let alone = || {
        let mut command = Command::new("sh");
        command.args(["-c", &program.run]);
        took(command, dir.path())
    };
    let within = || -> Result<Took> {
        let mut command = memtrace.words(&["-o", "json"], &page);
        command.args(program.words());
        let took = took(command, dir.path())?;
        let text = fs::read_to_string(&page).context("there is no page")?;
        let page: Page = serde_json::from_str(&text).context("failed to read the page")?;
        let own = page.runs.first().context("there was no run")?.seconds;
        Ok(Took { own, ..took })
    };
    // What both read is in memory from here on.
    alone()?;
    within()?;
    let mut both = Vec::new();
    for pair in 0..pairs {
        both.push(if pair % 2 == 0 {
            let first = alone()?;
            (first, within()?)
        } else {
            let first = within()?;
            (alone()?, first)
        });
    }
    let each = |figure: &dyn Fn(&(Took, Took)) -> f64| both.iter().map(figure).collect::<Vec<f64>>();
    Ok(Cost {
        name: program.name.clone(),
        about: program.about.clone(),
        pairs,
        seconds: median(&each(&|(alone, _)| alone.seconds)).middle,
        total: median(&each(&|(alone, within)| within.seconds / alone.seconds)),
        own: median(&each(&|(alone, within)| within.own / alone.seconds)),
        cpu: mean(&each(&|(alone, within)| (within.ticks - alone.ticks) * TICK)),
        longer: median(&each(&|(alone, within)| (within.seconds - alone.seconds) * 1e3)),
    })
}

fn took(mut command: Command, dir: &Path) -> Result<Took> {
    command.current_dir(dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let (ticks, begin) = (of_children()?, Instant::now());
    let status = command.status().with_context(|| format!("failed to run {}", process::shown(&command)))?;
    let seconds = begin.elapsed().as_secs_f64();
    ensure!(status.success(), "{} ended with {status}", process::shown(&command));
    Ok(Took { seconds, ticks: of_children()? - ticks, own: 0.0 })
}

/// CPU time of children that ended, in ticks.
fn of_children() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat").context("failed to read /proc/self/stat")?;
    ticks(&stat).context("failed to find the CPU time of children in /proc/self/stat")
}

/// `cutime` and `cstime` of proc_pid_stat(5), counted from the end of the name, which may contain anything.
fn ticks(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(13);
    Some(fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_children_is_found_behind_any_name() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 40 2 20 0 1";
        assert_eq!(ticks(stat), Some(42.0));
        assert_eq!(ticks("7 (a) S 1"), None);
        assert!(of_children().unwrap() >= 0.0);
    }
}
