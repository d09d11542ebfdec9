//! What an idle node costs.
//!
//! Cgroups with sleeping processes -> the daemon's CPU, memory and maps while nothing happens.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde::Serialize;

use xtask_base::agent::Agent;

use super::say;
use xtask_base::requirements;

/// The daemon beside so many containers.
#[derive(Debug, Serialize)]
pub(crate) struct Idle {
    pub(crate) containers: usize,
    pub(crate) processes: usize,
    /// Percent of one CPU.
    pub(crate) cpu_percent: f64,
    pub(crate) rss_mib: f64,
    pub(crate) map_mib: f64,
    pub(crate) ready_ms: f64,
    /// Until all page tables were read once; `None` when that was not over in time.
    pub(crate) first_look_s: Option<f64>,
}

/// The first look at everything is over when the scanner takes so little of this.
const STEP: Duration = Duration::from_secs(5);
const LITTLE: f64 = 0.05;
/// It is waited for no longer than this.
const PATIENCE: Duration = Duration::from_secs(180);
const WATCHED: Duration = Duration::from_secs(20);

pub(crate) fn measure(bin: &Path, sizes: &[(usize, usize)]) -> Result<Vec<Idle>> {
    sizes.iter().map(|(containers, each)| idle(bin, *containers, *each)).collect()
}

fn idle(bin: &Path, containers: usize, each: usize) -> Result<Idle> {
    say(&format!("idle daemon with {containers} containers of {each} processes"));
    let _crowd = Crowd::start(containers, each)?;
    let agent = Agent::start(bin, &[])?;
    let first_look_s = settle(&agent)?;
    let (start, before) = (Instant::now(), agent.cpu_seconds()?);
    thread::sleep(WATCHED);
    let used = agent.cpu_seconds()? - before;
    Ok(Idle {
        containers,
        processes: containers * each,
        cpu_percent: used / start.elapsed().as_secs_f64() * 100.0,
        rss_mib: agent.rss_mib()?,
        map_mib: agent.map_mib()?,
        ready_ms: agent.ready_after.as_secs_f64() * 1000.0,
        first_look_s,
    })
}

/// Waits until all page tables were read once; how long that took.
fn settle(agent: &Agent) -> Result<Option<f64>> {
    let start = Instant::now();
    let mut before = agent.thread_seconds("scanner")?;
    while start.elapsed() < PATIENCE {
        thread::sleep(STEP);
        let after = agent.thread_seconds("scanner")?;
        if after - before < LITTLE {
            return Ok(Some(start.elapsed().as_secs_f64() - STEP.as_secs_f64()));
        }
        before = after;
    }
    Ok(None)
}

/// Sleeping processes in cgroups of their own; all gone when dropped.
struct Crowd {
    parent: PathBuf,
    groups: Vec<PathBuf>,
    children: Vec<Child>,
}

impl Crowd {
    fn start(containers: usize, each: usize) -> Result<Self> {
        let home = requirements::memory_home().context("failed to find a memory cgroup")?;
        let parent = home.join(format!("memtrace-bench-{}", std::process::id()));
        let mut crowd = Self { parent, groups: Vec::new(), children: Vec::new() };
        if containers == 0 {
            return Ok(crowd);
        }
        crowd.make(crowd.parent.clone())?;
        // Only v2 has the file.
        let control = crowd.parent.join("cgroup.subtree_control");
        if control.exists() {
            fs::write(&control, "+memory").context("failed to enable the memory controller in the cgroup")?;
        }
        let shell = env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
        for number in 0..containers {
            let group = crowd.parent.join(format!("c{number}"));
            crowd.make(group.clone())?;
            for _ in 0..each {
                let mut sleeper = Command::new(&shell);
                sleeper.args(["-c", "echo $$ >\"$1\"; exec sleep 600", "sh"]).arg(group.join("cgroup.procs"));
                let child = sleeper.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
                crowd.children.push(child.context("failed to start a sleeping process")?);
            }
        }
        // Until the last one sleeps in its group.
        thread::sleep(Duration::from_millis(500));
        Ok(crowd)
    }

    fn make(&mut self, group: PathBuf) -> Result<()> {
        fs::create_dir(&group).with_context(|| format!("failed to create {}", group.display()))?;
        self.groups.push(group);
        Ok(())
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for child in &mut self.children {
            // Fails only for one that is gone already.
            drop(child.kill());
        }
        for child in &mut self.children {
            drop(child.wait());
        }
        for group in self.groups.iter().rev() {
            for _ in 0..100 {
                if fs::remove_dir(group).is_ok() {
                    break;
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}
