//! Other tools on the same work, where they run.
//!
//! Loads -> their ratios to the same work alone, or why there is none. Must not install a tool.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::{
    load::{LOADS, Programs},
    say,
    stats::{Summary, ratios, summary},
};
use crate::process;

/// One tool on one load.
#[derive(Debug, Serialize)]
pub(crate) struct Peer {
    pub(crate) tool: &'static str,
    pub(crate) load: &'static str,
    /// To the same round without the tool.
    pub(crate) ratio: Option<Summary>,
    pub(crate) why_not: Option<String>,
}

/// What is put before the command; `DIR` is a directory for its output.
const TOOLS: [(&str, &[&str], &[&str]); 2] = [
    (
        "strace -f -e trace=memory",
        &["strace", "-f", "-qq", "-e", "trace=memory", "-o", "/dev/null"],
        &["mmap", "mmap8", "churn"],
    ),
    ("heaptrack", &["heaptrack", "--record-only", "-o", "DIR/trace"], &["churn"]),
];
/// A script for the same hooks, with user stacks.
const BPFTRACE: &str = "bpftrace";

pub(crate) fn measure(programs: &Programs, rounds: usize) -> Result<Vec<Peer>> {
    let mut peers = Vec::new();
    for (tool, before, loads) in TOOLS {
        for name in loads {
            let Some(load) = LOADS.iter().find(|load| load.name == *name) else { continue };
            let program = before.first().copied().unwrap_or_default();
            if process::find(program).is_none() {
                peers.push(Peer {
                    tool,
                    load: load.name,
                    ratio: None,
                    why_not: Some(format!("{program} is not installed")),
                });
                continue;
            }
            say(&format!("{tool}: {name}"));
            let dir = tempfile::tempdir()?;
            let before: Vec<String> =
                before.iter().map(|word| word.replace("DIR", &dir.path().to_string_lossy())).collect();
            let (mut with, mut without) = (Vec::new(), Vec::new());
            let mut failed = None;
            for _ in 0..rounds {
                without.push(programs.run(load, &[], Path::new(""))?);
                match last_figure(programs, load, &before) {
                    Ok(figure) => with.push(figure),
                    Err(error) => failed = Some(format!("{error:#}")),
                }
            }
            let ratio = if failed.is_none() { summary(&ratios(&with, &without)) } else { None };
            peers.push(Peer { tool, load: load.name, ratio, why_not: failed });
        }
    }
    if process::find(BPFTRACE).is_none() {
        let why_not = Some(format!("{BPFTRACE} is not installed"));
        peers.push(Peer { tool: BPFTRACE, load: "mmap", ratio: None, why_not });
    }
    Ok(peers)
}

fn last_figure(programs: &Programs, load: &super::load::Load, before: &[String]) -> Result<f64> {
    programs.run(load, before, Path::new(""))
}
