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

/// Run everything that CI runs: setup, lint, layers, a short benchmark and the tests.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
If a stage fails, the others still run; the last line names the failed ones. With CI=true, skipped tests (no root, no \
Debian mirror) are a failure. No result of the benchmark is a failure.

Examples:
  cargo xtask ci
  CI=true sudo -E cargo xtask ci
  cargo xtask ci --only lint --only layers")]
pub(crate) struct Args {
    /// Run only this stage; may be repeated. The output of the stages that it needs must exist.
    #[arg(long, value_name = "STAGE", value_parser = STAGES.map(|stage| stage.name))]
    only: Vec<String>,
}

/// In their order. Clippy builds memtrace's build script's work, and so needs what setup makes. The tests are last:
/// what they say of a failure is then the end of the whole log.
const STAGES: [Stage; 5] = [
    Stage::new("setup", &[], |workspace| setup::ensure(workspace).map(|_| ())),
    Stage::new("lint", &["setup"], lint::lint),
    Stage::new("layers", &["setup"], layers::check_all),
    Stage::new("bench", &["setup"], |workspace| verb(workspace, &["bench", "--quick"])),
    Stage::new("test", &["setup"], |workspace| verb(workspace, &["test"])),
];

pub(crate) fn run(Args { only }: &Args) -> Result<()> {
    let is_wanted = |name: &str| only.is_empty() || only.iter().any(|wanted| wanted == name);
    stages::run("ci", &Workspace::find()?, &STAGES, is_wanted)
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
