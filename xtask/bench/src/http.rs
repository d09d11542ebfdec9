//! An HTTP service to be measured.
//!
//! The workloads' service with jemalloc -> running on a port of this machine, ended when dropped.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result};

use xtask_base::{process, workspace::Workspace};

/// A service of our own.
#[derive(Debug)]
pub(crate) struct Http {
    child: Child,
    /// Where it listens, as `127.0.0.1:PORT`.
    pub(crate) address: String,
}

const NAME: &str = "http-jemalloc";

/// Compiles it.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    let target = workspace.root().join("workloads/target");
    let mut cargo = workspace.cargo();
    cargo.args([
        "build",
        "--quiet",
        "--release",
        "--package",
        "programs",
        "--features",
        "jemalloc",
        "--bin",
        NAME,
    ]);
    cargo.arg("--manifest-path").arg(workspace.root().join("workloads/Cargo.toml"));
    process::capture(cargo.arg("--target-dir").arg(&target))?;
    Ok(target.join("release").join(NAME))
}

impl Http {
    pub(crate) fn start(program: &Path) -> Result<Self> {
        let child = Command::new(program).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let child = child.with_context(|| format!("failed to start {}", program.display()))?;
        let mut http = Self { child, address: String::new() };
        let output = http.child.stdout.take().context("failed to read from the HTTP service")?;
        let read = BufReader::new(output).read_line(&mut http.address);
        read.context("failed to read where the HTTP service listens")?;
        http.address.truncate(http.address.trim_end().len());
        Ok(http)
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        // Both fail only for a service that is gone already, which is what we want.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
