//! `ci`: what CI runs, and what to run before a push.
//!
//! Workspace -> all stages pass, or the names of those that do not. Must not have a check of its own.

use std::env;

use anyhow::{Result, bail};

use xtask_base::{outcome, process, workspace::Workspace};

use crate::{
    layers, lint, setup,
    stages::{self, Stage},
};

/// Run everything that CI runs: setup, lint, layers, test and a short benchmark.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
If a stage fails, the others still run; the last line names the failed ones. With CI=true, skipped tests (no root, no \
Debian mirror) are a failure. No result of the benchmark is a failure.

Examples:
  cargo xtask ci
  CI=true sudo -E cargo xtask ci")]
pub(crate) struct Args {}

/// In their order. Clippy builds memtrace's build script's work, and so needs what setup makes.
const STAGES: [Stage; 5] = [
    Stage::new("setup", &[], |workspace| setup::ensure(workspace).map(|_| ())),
    Stage::new("lint", &["setup"], lint::lint),
    Stage::new("layers", &["setup"], layers::check_all),
    Stage::new("test", &["setup"], |workspace| verb(workspace, &["test"])),
    Stage::new("bench", &["setup"], |workspace| verb(workspace, &["bench", "--quick"])),
];

pub(crate) fn run(_args: &Args) -> Result<()> {
    stages::run("ci", &Workspace::find()?, &STAGES, |_| true)
}

/// The command that people run, not a function of ours: what is documented is what is checked.
fn verb(workspace: &Workspace, words: &[&str]) -> Result<()> {
    let status = process::status(workspace.cargo().arg("xtask").args(words))?;
    let in_ci = env::var("CI").is_ok_and(|ci| ci == "true");
    match status.code() {
        Some(0) => Ok(()),
        Some(code) if code == i32::from(outcome::NOT_PERMITTED) && !in_ci => {
            println!("some tests were skipped, see above; with CI=true this is a failure");
            Ok(())
        }
        _ => bail!("failed to run `cargo xtask {}`: {status}", words.join(" ")),
    }
}
