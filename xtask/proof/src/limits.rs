//! Programs that give nothing up: at the advised limit they live, at nine tenths of their peak they die.
//!
//! A program -> [`Proof`]: what the kernel did at both limits.

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use super::{
    ask::{Memtrace, Run},
    program::Program,
};

/// Runs from which the advice is made.
const REPEAT: &str = "3";
/// Of P, in percent: what must be too little.
const TOO_LITTLE: u64 = 90;

/// What a program did.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Proof {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) peak_bytes: u64,
    pub(crate) limit_bytes: u64,
    /// Whether it lived at the advised limit.
    pub(crate) lived: bool,
    /// Whether it died at nine tenths of P.
    pub(crate) died: bool,
    /// Its time at the advised limit, to that without a limit.
    pub(crate) time: f64,
}

/// Runs it without a limit, with the advised one, and with too little.
///
/// # Errors
/// When it cannot be judged.
pub(crate) fn prove(memtrace: &Memtrace, program: &Program) -> Result<Proof> {
    let dir = tempfile::tempdir().context("failed to create a directory")?;
    program.prepare(dir.path())?;
    let free = memtrace.run(program, dir.path(), &["--repeat", REPEAT])?;
    let Some(advised) = free.advised else {
        bail!("no limit is advised: {}", free.not_advised.unwrap_or_default());
    };
    let at = |bytes: u64| -> Result<Run> {
        let page = memtrace.run(program, dir.path(), &["--memory-limit", &bytes.to_string()])?;
        page.runs.into_iter().next().context("there was no run")
    };
    let enough = at(advised.limit_bytes)?;
    let little = at(advised.peak_bytes / 100 * TOO_LITTLE)?;
    let longest = free.runs.iter().map(|run| run.seconds).fold(f64::MIN_POSITIVE, f64::max);
    Ok(Proof {
        name: program.name.clone(),
        about: program.about.clone(),
        peak_bytes: advised.peak_bytes,
        limit_bytes: advised.limit_bytes,
        lived: enough.lived(),
        died: little.died(),
        time: enough.seconds / longest,
    })
}
