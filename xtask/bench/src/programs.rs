//! What each kernel program takes for one event, by the kernel's own clock.
//!
//! A daemon under load -> runs and nanoseconds by program. Must not be done while anything else is timed: the clock
//! costs time itself.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};
use serde::Serialize;
use xtask_base::agent::{Agent, Runs};

use super::{
    load::{LOADS, Programs},
    say,
};

/// One attached program.
#[derive(Debug, Serialize)]
pub(crate) struct Program {
    pub(crate) fact: String,
    pub(crate) form: String,
    pub(crate) runs: u64,
    pub(crate) ns_each: Option<f64>,
}

const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

pub(crate) fn measure(bin: &Path, programs: &Programs) -> Result<Vec<Program>> {
    say("run time of the kernel programs");
    let before = fs::read_to_string(SWITCH).context("failed to read kernel.bpf_stats_enabled")?;
    fs::write(SWITCH, "1").context("failed to set kernel.bpf_stats_enabled")?;
    let measured = under_load(bin, programs);
    fs::write(SWITCH, before.trim()).context("failed to restore kernel.bpf_stats_enabled")?;
    measured
}

fn under_load(bin: &Path, programs: &Programs) -> Result<Vec<Program>> {
    let agent = Agent::start(bin, &["--event-budget", "0"])?;
    for load in LOADS.iter().filter(|load| ["fault", "mmap", "churn", "spawn"].contains(&load.name)) {
        programs.run(load, &[], None)?;
    }
    let runs: BTreeMap<u64, Runs> = agent.runs()?.into_iter().collect();
    let status = agent.get("/v1/probes")?;
    let hooks = status.get("hooks").and_then(|hooks| hooks.as_array()).context("no hooks")?;
    let text = |value: Option<&serde_json::Value>| value.and_then(|value| value.as_str()).map(str::to_owned);
    let measured = hooks.iter().filter_map(|hook| {
        let id = hook.get("program")?.get("id")?.as_u64()?;
        let Runs { count, ns } = runs.get(&id).copied().unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
        let each = (count > 0).then(|| ns as f64 / count as f64);
        Some(Program {
            fact: text(hook.get("fact"))?,
            form: text(hook.get("attached"))?,
            runs: count,
            ns_each: each,
        })
    });
    Ok(measured.collect())
}
