//! `ci`: what CI runs, and what to run before a push.
//!
//! Workspace -> all stages pass, or the name of the first that does not. Must not have a check of its own.

use std::{
    env,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{layers, lint, outcome, process, setup, workspace::Workspace};

/// Run all that CI runs: setup, lint, layers, test (units, root, VM), and a short benchmark; the first failure stops.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "With CI=true, tests that could not be run (no root, no Debian mirror) are a failure. The benchmark is
run for what it prints: no figure fails it.

Examples:
  cargo xtask ci
  CI=true sudo -E cargo xtask ci"
)]
pub(crate) struct Args {}

type Stage = (&'static str, fn(&Workspace) -> Result<()>);

const STAGES: [Stage; 5] = [
    ("setup", |workspace| setup::ensure(workspace).map(|_| ())),
    ("lint", lint::lint),
    ("layers", layers::check),
    ("test", |workspace| verb(workspace, &["test"])),
    ("bench", |workspace| verb(workspace, &["bench", "--quick"])),
];

pub(crate) fn run(_args: &Args) -> Result<()> {
    let workspace = Workspace::find()?;
    let mut times = Vec::new();
    for (name, stage) in STAGES {
        println!("\n=== {name}");
        let start = Instant::now();
        stage(&workspace).with_context(|| format!("failed to pass the stage {name}"))?;
        println!("=== {name}: ok, {:.1} s", start.elapsed().as_secs_f64());
        times.push((name, start.elapsed()));
    }
    println!("\nci: {}", summary(&times));
    Ok(())
}

/// The command that people run, not a function of ours: what is documented is what is checked.
fn verb(workspace: &Workspace, words: &[&str]) -> Result<()> {
    let status = process::status(workspace.cargo().arg("xtask").args(words))?;
    let in_ci = env::var("CI").is_ok_and(|ci| ci == "true");
    match status.code() {
        Some(0) => Ok(()),
        Some(code) if code == i32::from(outcome::NOT_PERMITTED) && !in_ci => {
            println!("not all of it was run, see above; with CI=true this is a failure");
            Ok(())
        }
        _ => bail!("failed to run `cargo xtask {}`: {status}", words.join(" ")),
    }
}

fn summary(times: &[(&str, Duration)]) -> String {
    let shown = times.iter().map(|(name, took)| format!("{name} {:.1} s", took.as_secs_f64()));
    shown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_each_stage_with_its_time() {
        let times = [("setup", Duration::from_millis(100)), ("lint", Duration::from_secs(2))];
        assert_eq!(summary(&times), "setup 0.1 s, lint 2.0 s");
    }
}
