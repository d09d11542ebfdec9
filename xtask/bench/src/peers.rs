//! Other tools on the same work, where they run.
//!
//! Loads -> their ratios to the same work alone, or why there is none. Must not install a tool.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use super::{
    load::{LOADS, Load, Programs},
    say,
    stats::{Summary, ratios, summary},
};
use xtask_base::process;

/// One tool on one load.
#[derive(Debug, Serialize)]
pub(crate) struct Peer {
    pub(crate) tool: &'static str,
    pub(crate) load: &'static str,
    /// To the same round without the tool.
    pub(crate) ratio: Option<Summary>,
    pub(crate) why_not: Option<String>,
}

/// How a tool watches a load.
enum Way {
    /// Put before the command; `DIR` is a directory for its output.
    Before(&'static [&'static str]),
    /// The same, with the first word a program of the tools' tree.
    Traced(&'static [&'static str]),
    /// A bpftrace script that runs beside it.
    Beside(&'static str),
}

/// The calls that memtrace watches and its sample of the page faults, counted by user stack: what a script for this
/// question looks like.
const SCRIPT: &str = "tracepoint:syscalls:sys_exit_mmap,tracepoint:syscalls:sys_exit_munmap,\
tracepoint:syscalls:sys_exit_mremap,tracepoint:syscalls:sys_exit_brk,tracepoint:syscalls:sys_exit_madvise,\
tracepoint:syscalls:sys_exit_mprotect { @calls[ustack] = count(); } \
software:page-faults:64 { @faults[ustack] = count(); } interval:ms:100 { printf(\"ready\\n\"); }";
/// The same hooks with nothing behind them: less than this no tool can cost.
const FLOOR: &str = "tracepoint:syscalls:sys_exit_mmap,tracepoint:syscalls:sys_exit_munmap,\
tracepoint:syscalls:sys_exit_mremap,tracepoint:syscalls:sys_exit_brk,tracepoint:syscalls:sys_exit_madvise,\
tracepoint:syscalls:sys_exit_mprotect { } software:page-faults:64 { } interval:ms:100 { printf(\"ready\\n\"); }";

const TOOLS: [(&str, Way, &[&str]); 4] = [
    ("empty programs on the same hooks", Way::Beside(FLOOR), &["fault", "mmap", "mmap8", "syscall", "churn"]),
    (
        "bpftrace, the same hooks, user stacks",
        Way::Beside(SCRIPT),
        &["fault", "mmap", "mmap8", "syscall", "churn"],
    ),
    (
        "strace -f -e trace=memory",
        Way::Traced(&["strace", "-f", "-qq", "-e", "trace=memory", "-o", "/dev/null"]),
        &["mmap", "mmap8", "churn"],
    ),
    // `--raw`, because not every version knows how to leave its viewer alone otherwise.
    ("heaptrack", Way::Before(&["heaptrack", "--raw", "-o", "DIR/trace"]), &["churn"]),
];
/// Between the first word of a script and its last probe.
const SETTLE: Duration = Duration::from_millis(300);

pub(crate) fn measure(programs: &Programs, rounds: usize) -> Result<Vec<Peer>> {
    let mut peers = Vec::new();
    for (tool, way, names) in &TOOLS {
        for load in LOADS.iter().filter(|load| names.contains(&load.name)) {
            say(&format!("{tool}: {}", load.name));
            let load = match way {
                // Some take a hundred times as long.
                Way::Before(_) => load.shorter(),
                Way::Traced(_) | Way::Beside(_) => *load,
            };
            let (ratio, why_not) = match compare(programs, way, &load, rounds) {
                Ok(ratio) => (ratio, None),
                Err(error) => (None, Some(format!("{error:#}"))),
            };
            peers.push(Peer { tool, load: load.name, ratio, why_not });
        }
    }
    Ok(peers)
}

fn compare(programs: &Programs, way: &Way, load: &Load, rounds: usize) -> Result<Option<Summary>> {
    let dir = tempfile::tempdir().context("failed to create a directory")?;
    let before: Vec<String> = match way {
        Way::Beside(_) => Vec::new(),
        Way::Before(words) => {
            let tool = words.first().copied().unwrap_or_default();
            if process::find(tool).is_none() {
                bail!("{tool} is not installed");
            }
            words.iter().map(|word| word.replace("DIR", &dir.path().to_string_lossy())).collect()
        }
        Way::Traced(words) => {
            let (tool, words) = words.split_first().context("no tool")?;
            let command = programs.of_tools(tool);
            let first = std::iter::once(command.get_program()).chain(command.get_args());
            first
                .map(|word| word.to_string_lossy().into_owned())
                .chain(words.iter().map(|&w| w.to_owned()))
                .collect()
        }
    };
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        without.push(programs.run(load, &[], None)?);
        let _script = match way {
            Way::Beside(script) => Some(Script::start(programs.of_tools("bpftrace"), script)?),
            Way::Before(_) | Way::Traced(_) => None,
        };
        with.push(programs.run(load, &before, None)?);
    }
    Ok(summary(&ratios(&with, &without)))
}

/// A running bpftrace; ended when dropped.
struct Script(Child);

impl Script {
    fn start(mut bpftrace: Command, script: &str) -> Result<Self> {
        let child =
            bpftrace.args(["-e", script]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut script = Self(child.spawn().context("failed to start bpftrace")?);
        let output = script.0.stdout.take().context("failed to read from bpftrace")?;
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        if !lines.any(|line| line.contains("ready")) {
            let mut said = String::new();
            let mut errors = script.0.stderr.take().context("failed to read from bpftrace")?;
            errors.read_to_string(&mut said).context("failed to read from bpftrace")?;
            bail!("bpftrace ended: {}", process::tail(&said, 3));
        }
        // Read on, or it waits for us.
        thread::spawn(move || lines.for_each(drop));
        thread::sleep(SETTLE);
        Ok(script)
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // It fails only for one that is gone.
        let _ = kill_process(Pid::from_child(&self.0), Signal::KILL);
        drop(self.0.wait());
    }
}
