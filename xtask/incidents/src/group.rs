//! The cgroup of one run.
//!
//! A limit -> a group, on request with one for each of two programs. When dropped, it goes with all that is in it.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use xtask_base::cgroup::{Cgroup, Home, Version};

/// Names of the groups of two programs that are kept apart.
const APART: [&str; 2] = ["main", "beside"];

/// A group with a limit.
pub(crate) struct Group {
    cgroup: Cgroup,
    /// Where its programs are: in itself, or below it.
    members: Vec<PathBuf>,
}

impl Group {
    pub(crate) fn create(home: &Home, name: &str, limit_bytes: u64, is_apart: bool) -> Result<Self> {
        let cgroup = Cgroup::create(home.clone(), name, limit_bytes)?;
        let mut group = Self { members: vec![cgroup.dir().to_owned()], cgroup };
        if is_apart {
            if home.version == Version::V2 {
                let control = group.cgroup.dir().join("cgroup.subtree_control");
                fs::write(&control, "+memory")
                    .with_context(|| format!("failed to write {}", control.display()))?;
            }
            group.members.clear();
            for name in APART {
                let dir = group.cgroup.dir().join(name);
                fs::create_dir(&dir).with_context(|| format!("failed to create {}", dir.display()))?;
                group.members.push(dir);
            }
        }
        Ok(group)
    }

    /// The file that takes the pid of the first or of the second program.
    pub(crate) fn procs(&self, number: usize) -> PathBuf {
        let member = self.members.get(number).or_else(|| self.members.first());
        member.map_or_else(|| self.cgroup.procs(), |dir| dir.join("cgroup.procs"))
    }

    pub(crate) fn limit(&self, bytes: u64) -> Result<()> {
        self.cgroup.limit(bytes)
    }

    pub(crate) fn usage(&self) -> Option<u64> {
        self.cgroup.usage()
    }

    pub(crate) fn oom_kills(&self) -> u64 {
        self.members.iter().filter_map(|dir| Cgroup::oom_kills(dir)).sum()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for dir in &self.members {
            empty(dir);
            if dir != self.cgroup.dir() {
                // It fails where a process is still there, and then the group above says so.
                drop(fs::remove_dir(dir));
            }
        }
    }
}

/// Kills what is in it until nothing is: a process may fork meanwhile.
fn empty(dir: &Path) {
    for _ in 0..250 {
        let members = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        if members.is_empty() {
            return;
        }
        for pid in members.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)) {
            // It fails only for one that is gone already.
            let _ = kill_process(pid, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(20));
    }
}
