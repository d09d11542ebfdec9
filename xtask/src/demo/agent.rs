//! The daemon under demonstration, and the questions we ask it.
//!
//! Binary and state directory -> a running daemon, stopped when dropped. Must not read its state itself:
//! all that is shown comes from memtrace's own commands.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Output},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::{names_pid, patience::Patience};
use xtask_base::process;

const START: Duration = Duration::from_secs(20);
const REPORT: Duration = Duration::from_secs(10);
const STOP: Duration = Duration::from_secs(5);

/// A daemon of our own.
#[derive(Debug)]
pub(crate) struct Agent {
    bin: PathBuf,
    state: PathBuf,
    child: Child,
}

impl Agent {
    pub(crate) fn start(bin: &Path, state: &Path) -> Result<Self> {
        let log = File::create(log_of(state)).context("failed to create the daemon's log")?;
        let errors = log.try_clone().context("failed to share the daemon's log")?;
        let mut command = Command::new(bin);
        command.arg("daemon").arg("--state-dir").arg(state).arg("--socket").arg(socket_of(state));
        // The last kill must be this one's, not one that the kernel log still has.
        command.args(["--no-backfill", "--no-pins"]);
        let child = command.stdout(log).stderr(errors).spawn();
        let child = child.with_context(|| format!("failed to start {} daemon", bin.display()))?;
        Ok(Self { bin: bin.to_owned(), state: state.to_owned(), child })
    }

    pub(crate) fn wait_until_ready(&mut self, patience: &Patience) -> Result<()> {
        let start = Instant::now();
        let answers = || {
            if let Some(status) = self.child.try_wait().context("failed to wait for the daemon")? {
                bail!("the daemon ended: {status}");
            }
            Ok(self.ask_top(&["-o", "json"])?.status.success().then_some(()))
        };
        let ready = patience.wait("reach the daemon", START, answers);
        ready.map_err(|error| anyhow!("{error:#}; the log of the daemon:\n{}", self.said()))?;
        println!("ready after {:.1} s", start.elapsed().as_secs_f64());
        Ok(())
    }

    /// Where it answers.
    pub(crate) fn socket(&self) -> PathBuf {
        socket_of(&self.state)
    }

    /// The live view, as text.
    pub(crate) fn top(&self) -> Result<String> {
        text("memtrace top", self.ask_top(&[])?)
    }

    /// The last report, once it is the one about `pid`: the store may hold older kills.
    pub(crate) fn wait_for_report(&self, patience: &Patience, pid: u32) -> Result<String> {
        let mut last = String::new();
        let report = patience.wait("get a report about the kill", REPORT, || {
            let output =
                self.ask(Command::new(&self.bin).args(["report", "--last"]), "--state-dir", &self.state)?;
            last = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            Ok((output.status.success() && names_pid(&last, pid)).then(|| last.clone()))
        });
        report.map_err(|error| {
            anyhow!("{error:#}; the last answer:\n{last}\nthe log of the daemon:\n{}", self.said())
        })
    }

    /// Asks the daemon to stop, and makes it.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let start = Instant::now();
        let pid = Pid::from_child(&self.child);
        if self.child.try_wait().context("failed to wait for the daemon")?.is_some() {
            bail!("the daemon ended; its log:\n{}", self.said());
        }
        kill_process(pid, Signal::TERM).context("failed to stop the daemon")?;
        while start.elapsed() < STOP {
            if let Some(status) = self.child.try_wait().context("failed to wait for the daemon")? {
                println!("daemon stopped: {status}");
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        self.child.kill().context("failed to kill the daemon")?;
        self.child.wait().context("failed to wait for the daemon")?;
        bail!("failed to stop the daemon with SIGTERM within {} s; it was killed", STOP.as_secs())
    }

    /// The same with arguments.
    pub(crate) fn top_with(&self, args: &[&str]) -> Result<String> {
        text("memtrace top", self.ask_top(args)?)
    }

    fn ask_top(&self, args: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.bin);
        self.ask(command.args(["top", "--once"]).args(args), "--socket", &socket_of(&self.state))
    }

    fn ask(&self, command: &mut Command, option: &str, path: &Path) -> Result<Output> {
        let command = command.arg(option).arg(path);
        command.output().with_context(|| format!("failed to run {}", process::shown(command)))
    }

    fn said(&self) -> String {
        process::tail(&fs::read_to_string(log_of(&self.state)).unwrap_or_default(), 20)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None))
            && let Err(error) = self.stop()
        {
            eprintln!("demo: {error:#}");
        }
    }
}

fn text(what: &str, output: Output) -> Result<String> {
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("failed to run {what}: {}\n{}", output.status, process::tail(&said, 10));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn log_of(state: &Path) -> PathBuf {
    state.join("daemon.log")
}

fn socket_of(state: &Path) -> PathBuf {
    state.join("memtrace.sock")
}
