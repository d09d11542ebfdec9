//! Which process is looked at next, and when.
//!
//! Snapshots and how long looks took -> a process, or none. Pure.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::{
    cgroup::hierarchy::is_within,
    daemon::kills::near,
    oom::record::is_same_start,
    snapshot::{ContainerRow, ProcessRow, Snapshot},
};

/// Looks are taken above this part of a limit.
const NEAR: f64 = 0.5;
/// The most groups that are looked at, the fullest first, and the most processes of each, the largest first.
const GROUPS: usize = 16;
const PROCESSES: usize = 2;
/// A smaller process fills no limit.
const LEAST: u64 = 4 << 20;
/// The least time between two looks at a process, and the same in times of what a look takes: a fortieth of one CPU.
const AGAIN: Duration = Duration::from_secs(10);
const COST: u32 = 40;
/// The second look comes earlier, because the kill may too.
const SECOND: Duration = Duration::from_secs(2);
/// Growth that makes a look worth it, as a part of the limit.
const MOVED: u64 = 20;
/// Without growth: the heap may hold something else by now. Likewise where there was nothing to be seen.
const STILL: Duration = Duration::from_secs(60);
/// Processes whose looks are remembered.
const REMEMBERED: usize = 256;

/// A process to look at.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    pub(super) pid: u32,
    pub(super) started: Timestamp,
    pub(super) comm: String,
    pub(super) cgroup: String,
    resident: u64,
}

/// The last look at a process.
#[derive(Clone, Copy, Debug)]
struct Looked {
    started: Timestamp,
    at: Instant,
    took: Duration,
    resident: u64,
    looks: u32,
    has_any: bool,
}

impl Looked {
    fn is_due(&self, resident: u64, limit: u64, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.at);
        let least = AGAIN.max(self.took * COST);
        let has_moved = resident.abs_diff(self.resident) >= limit / MOVED;
        match (self.has_any, self.looks) {
            (false, _) => since >= STILL.max(least),
            (true, 1) if has_moved => since >= SECOND,
            (true, _) if has_moved => since >= least,
            (true, _) => since >= STILL.max(least),
        }
    }
}

/// What was looked at, and when.
#[derive(Debug, Default)]
pub(super) struct Plan {
    looked: HashMap<u32, Looked>,
}

impl Plan {
    /// The process that is due, in the fullest group that has one.
    pub(super) fn next(&self, snapshot: &Snapshot, now: Instant) -> Option<Target> {
        near::limits(snapshot, NEAR, GROUPS).into_iter().find_map(|(group, limit)| {
            largest(snapshot, group).into_iter().find(|target| self.is_due(target, limit, now))
        })
    }

    fn is_due(&self, target: &Target, limit: u64, now: Instant) -> bool {
        let last = self.looked.get(&target.pid).filter(|last| is_same_start(last.started, target.started));
        last.is_none_or(|last| last.is_due(target.resident, limit, now))
    }

    /// Remembers a look.
    pub(super) fn looked(&mut self, target: &Target, has_any: bool, took: Duration, at: Instant) {
        let Target { pid, started, resident, .. } = *target;
        let before = self.looked.get(&pid).filter(|last| is_same_start(last.started, started));
        let looks = before.map_or(0, |before| before.looks).saturating_add(1);
        self.looked.insert(pid, Looked { started, at, took, resident, looks, has_any });
        if self.looked.len() > REMEMBERED {
            let oldest = self.looked.iter().min_by_key(|(_, last)| last.at).map(|(pid, _)| *pid);
            oldest.map(|pid| self.looked.remove(&pid));
        }
    }
}

/// The largest processes of a group.
fn largest(snapshot: &Snapshot, group: &ContainerRow) -> Vec<Target> {
    let is_in = |row: &&ProcessRow| row.cgroup.as_deref().is_some_and(|path| is_within(path, &group.cgroup));
    let target = |row: &ProcessRow| {
        let resident = row.rss_bytes?.0;
        (resident >= LEAST).then_some(())?;
        let (comm, cgroup) = (row.comm.clone(), row.cgroup.clone()?);
        Some(Target { pid: row.pid, started: row.started?, comm, cgroup, resident })
    };
    let mut targets: Vec<Target> = snapshot.rows().filter(is_in).filter_map(target).collect();
    targets.sort_by_key(|target| std::cmp::Reverse(target.resident));
    targets.truncate(PROCESSES);
    targets
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
