//! `chart`: the Helm chart rendered, compared with the manifests that are checked in, and validated.
//!
//! deploy/ -> passed or not. Must not put anything outside of target/tools.

use std::process::Command;

use anyhow::{Result, bail};

use xtask_base::{process, workspace::Workspace};

/// What the check is written with: Helm as a library, and the schemas of Kubernetes.
const PACKAGES: [&str; 3] = ["helm-python-sdk==0.2.2", "kubernetes-validate==1.37.0", "PyYAML==6.0.4"];

/// Render and validate the Helm chart, and check that deploy/manifests is up to date.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Needs Python 3.10 or later with venv; installs Helm's library and the schemas from PyPI into target/tools.

Examples:
  cargo xtask chart
  cargo xtask chart --write    after a change to the chart"
)]
pub(crate) struct Args {
    /// Rewrite deploy/manifests.
    #[arg(long)]
    write: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    check(&Workspace::find()?, args.write)
}

/// Renders, compares and validates; writes the manifests first, if wanted.
pub(crate) fn check(workspace: &Workspace, write: bool) -> Result<()> {
    if process::find("python3").is_none() {
        bail!("failed to find python3: install Python 3.10 or later");
    }
    let home = workspace.tools().join("chart");
    let python = home.join("bin/python");
    let stamp = home.join("packages");
    let wanted = PACKAGES.join("\n");
    if std::fs::read_to_string(&stamp).ok().as_deref() != Some(wanted.as_str()) {
        process::run(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
        process::run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES))?;
        std::fs::write(&stamp, wanted)?;
    }
    let mut script = Command::new(&python);
    script.arg(workspace.root().join("deploy/tests/chart.py")).args(write.then_some("--write"));
    // No cache of compiled code beside the script.
    process::run(script.env("PYTHONDONTWRITEBYTECODE", "1"))
}
