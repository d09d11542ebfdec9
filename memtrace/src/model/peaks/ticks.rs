//! The peaks that a snapshot shows, tick by tick.
//!
//! Input: the current processes and containers, their marks, and the rises of their estimates. Output: [`Peak`]s. Keeps
//! the values of the last tick, to detect changes. Pure.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;

use super::{Between, Marks, Total};
use crate::{
    clock,
    mm::process::Process,
    model::arenas::Row,
    snapshot::{ContainerRow, Peak, PeakPart},
    units::Bytes,
};

/// The most parts of a peak.
const PARTS: usize = 6;

/// The state of the last tick.
#[derive(Debug, Default)]
pub struct Ticks {
    processes: Marks<(u32, Option<u64>)>,
    groups: Marks<String>,
    usages: HashMap<String, u64>,
    /// Time of the last tick, ns since boot.
    last: Option<u64>,
}

/// The current time on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Wall-clock time.
    pub time: Timestamp,
    /// ns since boot.
    pub ktime: u64,
}

/// An estimate since the last tick.
#[derive(Debug, Default)]
pub struct Estimate {
    /// The rise, and when.
    pub rise: Option<(u64, u64)>,
    /// The rows at its highest.
    pub rows: Vec<Row>,
}

impl Now {
    /// The wall-clock time of an instant since boot.
    pub fn wall(self, ktime: u64) -> Timestamp {
        clock::at(self.time, self.ktime, ktime)
    }
}

impl Ticks {
    /// Whether a process was read since the last tick; if not, it had no events.
    pub fn is_fresh(&self, process: &Process) -> bool {
        process.resident().is_some_and(|reading| self.last.is_none_or(|last| reading.at > last))
    }

    /// Whether the mark of a process may have risen since the last tick.
    pub fn may_have_risen(&self, process: &Process) -> bool {
        self.is_fresh(process) && process.was_busy
    }

    /// The peak of a process.
    pub fn process(
        &mut self,
        process: &Process,
        mark: Option<u64>,
        estimate: Estimate,
        now: Now,
    ) -> Option<Peak> {
        let reading = process.resident()?;
        let is_new = process.start.zip(self.last).is_some_and(|(start, last)| start >= last);
        let key = (process.pid, process.start);
        let mark = mark.map(|mark| (mark, self.processes.has_risen(key, mark, is_new)));
        let before = process.previous().filter(|_| self.is_fresh(process));
        let Estimate { rise, rows } = estimate;
        let known = Between { before: before.map(|reading| reading.bytes), now: reading.bytes, rise, mark };
        let parts = rows.iter().map(|row| PeakPart {
            allocator: row.allocator.into(),
            kind: row.kind.into(),
            bytes: row.resident,
        });
        let mut owners: Vec<PeakPart> = parts.collect();
        order(&mut owners);
        Some(peak(known.total(), owners.into(), now))
    }

    /// The peak of a cgroup; `owners` are the parts of its processes' peaks. Page cache changes without events, so only
    /// the marks show its peaks.
    pub fn container(
        &mut self,
        row: &ContainerRow,
        mark: Option<u64>,
        rise: Option<(u64, u64)>,
        owners: Arc<[PeakPart]>,
        now: Now,
    ) -> Option<Peak> {
        let usage = row.usage_bytes?.0;
        let before = self.usages.insert(row.cgroup.clone(), usage);
        let mark = mark.map(|mark| (mark, self.groups.has_risen(row.cgroup.clone(), mark, false)));
        Some(peak(Between { before, now: usage, rise, mark }.total(), owners, now))
    }

    /// Forgets processes that are gone.
    pub fn forget(&mut self, is_there: impl Fn(u32) -> bool) {
        self.processes.retain(|(pid, _)| is_there(*pid));
    }

    /// Ends the tick.
    pub fn end(&mut self, now: u64, containers: &[ContainerRow]) {
        self.last = Some(now);
        if self.usages.len() > containers.len() {
            let there: std::collections::HashSet<&str> =
                containers.iter().map(|container| container.cgroup.as_str()).collect();
            self.usages.retain(|cgroup, _| there.contains(cgroup.as_str()));
            self.groups.retain(|cgroup| there.contains(cgroup.as_str()));
        }
    }
}

fn peak(Total { bytes, at, grade }: Total, owners: Arc<[PeakPart]>, now: Now) -> Peak {
    Peak { bytes, time: at.map(|at| now.wall(at)), grade, owners }
}

/// Sorts the parts, largest first, and limits them to `PARTS`.
pub fn order(owners: &mut Vec<PeakPart>) {
    owners.retain(|part| part.bytes > Bytes(0));
    owners.sort_by(|a, b| (b.bytes, &a.allocator, &a.kind).cmp(&(a.bytes, &b.allocator, &b.kind)));
    owners.truncate(PARTS);
}

/// Adds a part to the parts of another peak.
pub fn add(sums: &mut Vec<PeakPart>, part: &PeakPart) {
    let is_same = |sum: &&mut PeakPart| (&sum.allocator, &sum.kind) == (&part.allocator, &part.kind);
    match sums.iter_mut().find(is_same) {
        Some(sum) => sum.bytes.0 = sum.bytes.0.saturating_add(part.bytes.0),
        None => sums.push(part.clone()),
    }
}
