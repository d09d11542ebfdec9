//! Questions to memtrace.
//!
//! A kill's cgroup, or a living target -> JSON. Must not interpret it.

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use xtask_base::{agent::Agent, process};

/// A record is there within this time.
const RECORD: Duration = Duration::from_secs(20);
/// What is added to it later is there within this time; names take longest.
const COMPLETE: Duration = Duration::from_secs(20);
/// A daemon on a busy machine answers within this time; the command itself waits for five seconds.
const ANSWER: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(250);

/// A daemon, and the program that asks it.
pub(crate) struct Memtrace {
    bin: PathBuf,
    agent: Agent,
}

impl Memtrace {
    pub(crate) fn start(bin: &Path) -> Result<Self> {
        // Kills before the bench are no business of it.
        Ok(Self { bin: bin.to_owned(), agent: Agent::start(bin, &["--no-backfill"])? })
    }

    /// The first kill in a cgroup of this name, once its record is complete or nothing is added any more.
    pub(crate) fn record(&self, cgroup: &str, is_complete: impl Fn(&Value) -> bool) -> Result<Value> {
        let id = until(RECORD, || self.id(cgroup))?
            .with_context(|| format!("no record of the kill in {cgroup} within {} s", RECORD.as_secs()))?;
        let show = || self.report(&["show", &id, "-o", "json"]);
        let complete = until(COMPLETE, || Ok(Some(show()?).filter(|record| is_complete(record))))?;
        complete.map_or_else(show, Ok)
    }

    /// The page on a pid or a cgroup; on request without the daemon.
    pub(crate) fn explanation(&self, target: &str, is_alone: bool) -> Result<Value> {
        let ask = || {
            let mut command = Command::new(&self.bin);
            command.args(["explain", target, "-o", "json"]);
            if is_alone {
                command.arg("--alone");
            } else {
                command.arg("--socket").arg(self.agent.socket());
            }
            json(&mut command)
        };
        until(ANSWER, || Ok(ask().ok()))?.map_or_else(ask, Ok)
    }

    fn id(&self, cgroup: &str) -> Result<Option<String>> {
        let list = self.report(&["list", "-o", "json", "--cgroup", cgroup]);
        // There is no store before the first kill.
        let Ok(list) = list else { return Ok(None) };
        // The newest first.
        let kills = list.get("kills").and_then(Value::as_array).context("the list has no kills")?;
        Ok(kills.last().and_then(|kill| kill.get("id")?.as_str()).map(str::to_owned))
    }

    /// A record as a person reads it.
    pub(crate) fn page(&self, record: &Value) -> Result<String> {
        let id = record.get("id").and_then(Value::as_str).context("the record has no id")?;
        process::capture(&mut self.command(&["show", id]))
    }

    fn report(&self, words: &[&str]) -> Result<Value> {
        json(&mut self.command(words))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.bin);
        command.arg("report").args(words).arg("--state-dir").arg(self.agent.state());
        command
    }
}

fn json(command: &mut Command) -> Result<Value> {
    let said = process::capture(command)?;
    match serde_json::from_str(&said) {
        Ok(value) => Ok(value),
        Err(error) => bail!("failed to read what `{}` said: {error}", process::shown(command)),
    }
}

fn until<T>(longest: Duration, ask: impl Fn() -> Result<Option<T>>) -> Result<Option<T>> {
    let start = Instant::now();
    loop {
        let answer = ask()?;
        if answer.is_some() || start.elapsed() > longest {
            return Ok(answer);
        }
        thread::sleep(STEP);
    }
}
