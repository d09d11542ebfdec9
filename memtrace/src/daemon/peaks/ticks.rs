//! The peaks that a snapshot shows, tick by tick.
//!
//! Input: processes and containers as they are now, their marks, and how their estimates rose. Output: [`Peak`]s. Keeps
//! what the last tick had, to tell what is new. Pure.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{Known, Marks, Total};
use crate::{
    clock,
    daemon::arenas::Row,
    mm::process::Process,
    snapshot::{ContainerRow, Peak, PeakPart, ProcessRow},
    units::Bytes,
};

/// Parts of a peak that are named.
const PARTS: usize = 6;

/// What the last tick had.
#[derive(Debug, Default)]
pub struct Ticks {
    processes: Marks<(u32, Option<u64>)>,
    groups: Marks<String>,
    usages: HashMap<String, u64>,
    /// When it was, ns since boot.
    last: Option<u64>,
}

/// Now, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Of the day.
    pub time: Timestamp,
    /// Since boot.
    pub ktime: u64,
}

/// How an estimate was since the last tick.
#[derive(Debug, Default)]
pub struct Estimate {
    /// How much it rose, and when.
    pub rise: Option<(u64, u64)>,
    /// What it was made of at its highest.
    pub rows: Vec<Row>,
}

impl Ticks {
    /// Whether a process was read since the last tick: else nothing has happened to it.
    pub fn is_fresh(&self, process: &Process) -> bool {
        process.resident().is_some_and(|reading| self.last.is_none_or(|last| reading.at > last))
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
        let known = Known { before: before.map(|reading| reading.bytes), now: reading.bytes, rise, mark };
        let parts = rows.iter().map(|row| PeakPart {
            allocator: row.allocator.to_owned(),
            kind: row.kind.to_owned(),
            bytes: row.resident,
        });
        Some(peak(known.total(), parts.collect(), now))
    }

    /// The peak of a cgroup, whose processes' peaks are in `parts`. Pages of files come and go unseen: there the marks
    /// alone tell.
    pub fn container(
        &mut self,
        row: &ContainerRow,
        mark: Option<u64>,
        rise: Option<(u64, u64)>,
        parts: Vec<PeakPart>,
        now: Now,
    ) -> Option<Peak> {
        let usage = row.usage_bytes?.0;
        let before = self.usages.insert(row.cgroup.clone(), usage);
        let mark = mark.map(|mark| (mark, self.groups.has_risen(row.cgroup.clone(), mark, false)));
        Some(peak(Known { before, now: usage, rise, mark }.total(), sum(parts), now))
    }

    /// The tick is over.
    pub fn end(&mut self, now: u64, is_there: impl Fn(u32) -> bool, containers: &[ContainerRow]) {
        self.last = Some(now);
        self.processes.retain(|(pid, _)| is_there(*pid));
        if self.usages.len() > containers.len() {
            let there: std::collections::HashSet<&str> =
                containers.iter().map(|container| container.cgroup.as_str()).collect();
            self.usages.retain(|cgroup, _| there.contains(cgroup.as_str()));
            self.groups.retain(|cgroup| there.contains(cgroup.as_str()));
        }
    }
}

/// What the peaks of a cgroup's processes were made of, by the cgroup's path.
pub fn parts(rows: &[ProcessRow]) -> HashMap<&str, Vec<PeakPart>> {
    let mut parts: HashMap<&str, Vec<PeakPart>> = HashMap::new();
    for row in rows {
        if let (Some(cgroup), Some(peak)) = (&row.cgroup, &row.peak) {
            parts.entry(cgroup).or_default().extend(peak.owners.iter().cloned());
        }
    }
    parts
}

fn peak(Total { bytes, at, grade }: Total, mut owners: Vec<PeakPart>, now: Now) -> Peak {
    owners.retain(|part| part.bytes > Bytes(0));
    owners.sort_by(|a, b| (b.bytes, &a.allocator, &a.kind).cmp(&(a.bytes, &b.allocator, &b.kind)));
    owners.truncate(PARTS);
    Peak { bytes, time: at.map(|at| clock::at(now.time, now.ktime, at)), grade, owners }
}

fn sum(parts: Vec<PeakPart>) -> Vec<PeakPart> {
    let mut sums: HashMap<(String, String), u64> = HashMap::new();
    for PeakPart { allocator, kind, bytes } in parts {
        let sum = sums.entry((allocator, kind)).or_default();
        *sum = sum.saturating_add(bytes.0);
    }
    let part = |((allocator, kind), bytes)| PeakPart { allocator, kind, bytes: Bytes(bytes) };
    sums.into_iter().map(part).collect()
}
