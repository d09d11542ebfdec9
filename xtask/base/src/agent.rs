//! A daemon to be measured.
//!
//! Binary and arguments -> a running daemon and what the kernel counts of it; stopped when dropped. Must not keep
//! its state.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::process;

const START: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(2);

/// A daemon of our own.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    dir: tempfile::TempDir,
    /// From its start to its word that it watches.
    pub ready_after: Duration,
}

/// What one program did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Runs {
    /// So many times.
    pub count: u64,
    /// In all, in nanoseconds.
    pub ns: u64,
}

impl Agent {
    /// Starts it, and waits until it watches.
    pub fn start(bin: &Path, arguments: &[&str]) -> Result<Self> {
        let dir = tempfile::tempdir().context("failed to create the daemon's directory")?;
        let log = File::create(dir.path().join("log")).context("failed to create the daemon's log")?;
        let start = Instant::now();
        let mut command = Command::new(bin);
        command.args(["daemon", "--no-pins", "--state-dir"]).arg(dir.path().join("state"));
        command.arg("--socket").arg(dir.path().join("socket")).args(arguments);
        fs::create_dir(dir.path().join("state")).context("failed to create the daemon's state")?;
        let errors = log.try_clone().context("failed to share the daemon's log")?;
        let child = command.stdout(log).stderr(errors).spawn();
        let child = child.with_context(|| format!("failed to run {}", process::shown(&command)))?;
        let mut agent = Self { child, dir, ready_after: Duration::ZERO };
        while !agent.log().contains("watching") {
            let ended = agent.child.try_wait().context("failed to wait for the daemon")?;
            if ended.is_some() || start.elapsed() > START {
                bail!("failed to start the daemon; its log:\n{}", process::tail(&agent.log(), 20));
            }
            thread::sleep(STEP);
        }
        agent.ready_after = start.elapsed();
        Ok(agent)
    }

    /// All that it said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Where it answers, for `--socket`.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    /// Where it keeps records, for `--state-dir`.
    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// The answer of its API.
    pub fn get(&self, path: &str) -> Result<Value> {
        let mut socket = UnixStream::connect(self.socket()).context("failed to connect")?;
        write!(socket, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").context("failed to ask")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).context("failed to read the answer")?;
        let (_, body) = answer.split_once("\r\n\r\n").context("failed to read the answer's head")?;
        serde_json::from_str(body).with_context(|| format!("failed to read what {path} gives"))
    }

    /// Seconds on a CPU so far.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let text = self.proc("stat")?;
        // After the name, which may have spaces: fields 14 and 15, in ticks.
        let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: f64 =
            fields.split_whitespace().skip(11).take(2).filter_map(|f| f.parse::<f64>().ok()).sum();
        #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
        let per_second = rustix::param::clock_ticks_per_second() as f64;
        Ok(ticks / per_second)
    }

    /// Seconds that its thread of this name was on a CPU so far.
    pub fn thread_seconds(&self, name: &str) -> Result<f64> {
        let file = self.thread(name)?.join("schedstat");
        let text = fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))?;
        let nanoseconds: f64 = text
            .split_whitespace()
            .next()
            .and_then(|field| field.parse().ok())
            .context("no time on a CPU")?;
        Ok(nanoseconds / 1e9)
    }

    /// The thread's directory. A thread gives itself its name, and on a full machine that takes a while.
    fn thread(&self, name: &str) -> Result<PathBuf> {
        let dir = PathBuf::from(format!("/proc/{}/task", self.child.id()));
        let is_it =
            |task: &PathBuf| fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name);
        let start = Instant::now();
        loop {
            let tasks = fs::read_dir(&dir).with_context(|| format!("failed to read {}", dir.display()))?;
            match tasks.flatten().map(|entry| entry.path()).find(is_it) {
                Some(task) => return Ok(task),
                None if start.elapsed() > START => bail!("the daemon has no thread {name}"),
                None => thread::sleep(STEP),
            }
        }
    }

    /// Resident MiB.
    pub fn rss_mib(&self) -> Result<f64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: f64 =
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).context("no VmRSS")?;
        Ok(kib / 1024.0)
    }

    /// MiB that its BPF maps hold locked in the kernel.
    pub fn map_mib(&self) -> Result<f64> {
        let maps = self.descriptors()?.into_iter().filter(|text| text.contains("map_type:"));
        let mut bytes: Vec<(u64, u64)> =
            maps.filter_map(|text| Some((field(&text, "map_id:")?, field(&text, "memlock:")?))).collect();
        bytes.sort_unstable();
        bytes.dedup();
        #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
        let all = bytes.iter().map(|(_, bytes)| *bytes).sum::<u64>() as f64;
        Ok(all / f64::from(1 << 20))
    }

    /// By program id; the kernel counts only while it is told to.
    pub fn runs(&self) -> Result<Vec<(u64, Runs)>> {
        let programs = self.descriptors()?.into_iter().filter(|text| text.contains("prog_type:"));
        let read = programs.filter_map(|text| {
            let runs = Runs { count: field(&text, "run_cnt:")?, ns: field(&text, "run_time_ns:")? };
            Some((field(&text, "prog_id:")?, runs))
        });
        Ok(read.collect())
    }

    fn descriptors(&self) -> Result<Vec<String>> {
        let dir = PathBuf::from(format!("/proc/{}/fdinfo", self.child.id()));
        let entries = fs::read_dir(&dir).with_context(|| format!("failed to read {}", dir.display()))?;
        Ok(entries.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok()).collect())
    }

    fn proc(&self, file: &str) -> Result<String> {
        let file = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(&file).with_context(|| format!("failed to read {file}"))
    }
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
}

impl Drop for Agent {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // It ends by itself, and gives back what it has; the wait fails only for a child that is gone.
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
            drop(self.child.wait());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_tells_its_numbers() {
        let text = "pos:\t0\nprog_type:\t5\nprog_id:\t61\nrun_time_ns:\t8000\nrun_cnt:\t4\n";
        assert_eq!((field(text, "run_time_ns:"), field(text, "prog_id:")), (Some(8000), Some(61)));
        assert_eq!(field(text, "memlock:"), None);
    }
}
