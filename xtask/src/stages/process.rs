//! A stage in a process of its own, whose output is in a file.
//!
//! A stage -> passed or not, and its log. Must not know what a stage does.

use std::{
    env,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::PathBuf,
    process::{Command, ExitStatus},
};

use anyhow::{Context as _, Result, bail};

use xtask_base::{
    outcome::{self, NotPermitted},
    workspace::Workspace,
};

use super::Stage;

/// The stage in a process of its own, with its output in a file.
pub(super) fn apart(verb: &str, workspace: &Workspace, stage: &Stage) -> Result<()> {
    let out = log(verb, workspace, stage)?;
    let errors = out.try_clone().context("failed to share the log of a stage")?;
    let status = alone(verb, stage)?.stdout(out).stderr(errors).status();
    judge(status.with_context(|| format!("failed to start {}", stage.name))?, verb, workspace, stage)
}

/// The stage in a process of its own, with its output shown while it runs, and in a file.
pub(super) fn kept(verb: &str, workspace: &Workspace, stage: &Stage) -> Result<()> {
    let mut log = log(verb, workspace, stage)?;
    let (mut reader, writer) = io::pipe().context("failed to make a pipe")?;
    let errors = writer.try_clone().context("failed to share a pipe")?;
    let mut command = alone(verb, stage)?;
    let mut child = command
        .stdout(writer)
        .stderr(errors)
        .spawn()
        .with_context(|| format!("failed to start {}", stage.name))?;
    // It holds the writing end: as long as it lives, so does the pipe.
    drop(command);
    let mut part = [0; 16 << 10];
    loop {
        let length = reader.read(&mut part).context("failed to read the output of a stage")?;
        let said = part.get(..length).unwrap_or_default();
        if said.is_empty() {
            break;
        }
        io::stdout().write_all(said).context("failed to show the output of a stage")?;
        log.write_all(said).context("failed to keep the output of a stage")?;
    }
    judge(child.wait().context("failed to wait for a stage")?, verb, workspace, stage)
}

/// This program, asked for one stage.
fn alone(verb: &str, stage: &Stage) -> Result<Command> {
    let mut command = Command::new(env::current_exe().context("failed to find our own program")?);
    command.args([verb, "--only", stage.name]);
    Ok(command)
}

fn judge(status: ExitStatus, verb: &str, workspace: &Workspace, stage: &Stage) -> Result<()> {
    let log = log_of(verb, workspace, stage.name);
    let told = format!("{status}, see its output in {}", workspace.relative(&log));
    match status.code() {
        Some(0) => Ok(()),
        Some(code) if code == i32::from(outcome::NOT_PERMITTED) => Err(NotPermitted(told).into()),
        _ => bail!(told),
    }
}

fn log(verb: &str, workspace: &Workspace, stage: &Stage) -> Result<File> {
    let log = log_of(verb, workspace, stage.name);
    fs::create_dir_all(workspace.target().join("stages")).context("failed to create target/stages")?;
    File::create(&log).with_context(|| format!("failed to create {}", log.display()))
}

pub(super) fn log_of(verb: &str, workspace: &Workspace, stage: &str) -> PathBuf {
    workspace.target().join("stages").join(format!("{verb}-{stage}.log"))
}
