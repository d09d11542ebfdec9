//! `lint`: format, clippy, and the rules of our own.
//!
//! Workspace -> clean, or what is not. Must not change a file unless asked to with --fix.

use std::fs;

use anyhow::{Result, bail};

use xtask_base::{process, workspace::Workspace};

use crate::{
    setup,
    stages::{self, Stage},
};

mod budget;
mod files;
mod functions;
mod paths;

/// Check format, clippy (warnings are errors), the length of files and functions, and paths of this machine.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask lint\n  cargo xtask lint --fix    format first")]
pub(crate) struct Args {
    /// Format all files before checking
    #[arg(long)]
    fix: bool,
    /// Run only this check; may be repeated
    #[arg(long, value_name = "CHECK", value_parser = CHECKS.map(|check| check.name))]
    only: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let workspace = Workspace::find()?;
    setup::ensure(&workspace)?;
    if args.fix {
        process::run(workspace.cargo().args(["fmt", "--all"]))?;
    }
    let is_wanted = |name: &str| args.only.is_empty() || args.only.iter().any(|wanted| wanted == name);
    stages::run("lint", &workspace, &CHECKS, is_wanted)
}

/// All checks; the cheap ones first, and each also after one that failed.
pub(crate) fn lint(workspace: &Workspace) -> Result<()> {
    stages::run("lint", workspace, &CHECKS, |_| true)
}

const CHECKS: [Stage; 5] = [
    Stage::new("format", &[], format),
    Stage::new("rules", &[], own_rules),
    // All targets are those that `cargo test` runs alone; the tests that need root are run by their names.
    Stage::new("clippy", &[], |workspace| clippy(workspace, &["--all-targets"])),
    Stage::new("clippy-tests", &[], |workspace| clippy(workspace, &["--test", "*"])),
    Stage::new("clippy-kernel", &[], kernel),
];

fn format(workspace: &Workspace) -> Result<()> {
    process::run(workspace.cargo().args(["fmt", "--all", "--check"]))
}

fn clippy(workspace: &Workspace, targets: &[&str]) -> Result<()> {
    process::run(workspace.cargo().args(CLIPPY).args(targets).args(["--", "-D", "warnings"]))
}

/// For the host: clippy has no BPF target. A kernel program cannot unwind, so neither may this check.
fn kernel(workspace: &Workspace) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["clippy", "--package", "memtrace-ebpf", "--", "-D", "warnings"]);
    process::run(cargo.env("CARGO_PROFILE_DEV_PANIC", "abort"))
}

const CLIPPY: [&str; 4] = ["clippy", "--workspace", "--exclude", "memtrace-ebpf"];

fn own_rules(workspace: &Workspace) -> Result<()> {
    let places = paths::places(workspace.root());
    let mut found = Vec::new();
    let files = files::texts(workspace.root())?;
    for file in &files {
        // Not UTF-8: neither code nor prose.
        let Ok(text) = fs::read_to_string(file) else { continue };
        let name = workspace.relative(file).to_string();
        found.extend(budget::check(&name, &text));
        found.extend(functions::check(&name, &text));
        found.extend(paths::check(&name, &text, &places));
    }
    for problem in &found {
        eprintln!("{problem}");
    }
    if !found.is_empty() {
        bail!("{} violations of the rules of this workspace, see above", found.len());
    }
    println!("rules: {} files, no file or function too long, no path of this machine", files.len());
    Ok(())
}
