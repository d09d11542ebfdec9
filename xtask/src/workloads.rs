//! The programs in which allocators are recognised: `workloads/`, a workspace of its own.
//!
//! Workspace -> built programs. Installs the compilers that are missing, on Debian as root; must not touch the main build.

use std::process::Command;

use anyhow::{Context as _, Result};

use xtask_base::{debian::Debian, process, workspace::Workspace};

/// Builds what is not up to date.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    let missing = process::capture(builder(workspace).arg("--missing"))
        .context("failed to ask what the workloads need")?;
    let missing: Vec<&str> = missing.split_whitespace().collect();
    if !missing.is_empty() {
        let otherwise = "the ownership tests need these compilers and runtimes; install them by hand";
        Debian::detect().install(&missing, otherwise)?;
    }
    process::run(&mut builder(workspace))
}

fn builder(workspace: &Workspace) -> Command {
    let mut cargo = workspace.cargo();
    cargo.args(["run", "--quiet", "--package", "build", "--manifest-path"]);
    cargo.arg(workspace.root().join("workloads/Cargo.toml"));
    cargo.arg("--target-dir").arg(workspace.root().join("workloads/target")).arg("--");
    cargo
}
