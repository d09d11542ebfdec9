//! Figures of memtrace by itself: from a kill to its record, from start to watching, and its size.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use xtask_base::{agent::Agent, requirements};

use super::{
    say,
    stats::{Summary, summary},
};

/// In milliseconds and MiB.
#[derive(Debug, Serialize)]
pub(crate) struct Alone {
    /// From the victim's end, as its parent sees it, to the record's commit.
    pub(crate) kill_to_record_ms: Option<Summary>,
    pub(crate) ready_ms: Option<Summary>,
    pub(crate) binary_mib: f64,
}

const STARTS: usize = 10;
const LIMIT: u64 = 16 << 20;
const PATIENCE: Duration = Duration::from_secs(10);
const RECORDED: &str = "recorded an OOM kill";

pub(crate) fn measure(bin: &Path, kills: usize) -> Result<Alone> {
    say("start of the daemon, and time from a kill to its record");
    let mut ready = Vec::new();
    for _ in 0..STARTS {
        ready.push(Agent::start(bin, &[])?.ready_after.as_secs_f64() * 1000.0);
    }
    let agent = Agent::start(bin, &[])?;
    let group = Group::make()?;
    let latencies: Vec<f64> = (0..kills).map(|_| group.kill(&agent)).collect::<Result<_>>()?;
    let size = fs::metadata(bin).with_context(|| format!("failed to read {}", bin.display()))?.len();
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let binary_mib = size as f64 / f64::from(1 << 20);
    Ok(Alone { kill_to_record_ms: summary(&latencies), ready_ms: summary(&ready), binary_mib })
}

/// A memory cgroup with a limit; gone when dropped.
struct Group(PathBuf);

impl Group {
    fn make() -> Result<Self> {
        let home = requirements::memory_home().context("failed to find a memory cgroup")?;
        let group = Self(home.join(format!("memtrace-bench-kill-{}", std::process::id())));
        fs::create_dir(&group.0).with_context(|| format!("failed to create {}", group.0.display()))?;
        for (file, is_needed) in [("memory.max", false), ("memory.limit_in_bytes", false)] {
            let file = group.0.join(file);
            if file.exists() || is_needed {
                fs::write(&file, LIMIT.to_string())
                    .with_context(|| format!("failed to write {}", file.display()))?;
            }
        }
        Ok(group)
    }

    /// Lets a process run into the limit; milliseconds from its end to the record.
    fn kill(&self, agent: &Agent) -> Result<f64> {
        let before = agent.log().matches(RECORDED).count();
        let xtask = std::env::current_exe().context("failed to find our own program")?;
        let mut grow = Command::new(xtask);
        grow.args(["grow", "--pace-ms", "0", "--give-up-mib", "64", "--procs"])
            .arg(self.0.join("cgroup.procs"));
        let status =
            grow.stderr(Stdio::null()).status().context("failed to run the program that is killed")?;
        let end = Instant::now();
        if status.success() || status.code().is_some() {
            bail!("the kernel did not kill the process at the limit: {status}");
        }
        while agent.log().matches(RECORDED).count() <= before {
            if end.elapsed() > PATIENCE {
                bail!("no record of a kill within {} s", PATIENCE.as_secs());
            }
            thread::sleep(Duration::from_micros(200));
        }
        Ok(end.elapsed().as_secs_f64() * 1000.0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}
