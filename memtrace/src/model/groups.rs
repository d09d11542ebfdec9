//! The cgroups that have processes, from tick to tick, and the sums of their processes' rows.
//!
//! Input: the rows of processes, one by one. Output: a row for each group. Pure. Groups without a new row keep the sums
//! of the last tick: most groups of a node do not change.

use std::{collections::HashMap, sync::Arc};

use super::peaks::ticks;
use crate::{
    cgroup::memcg::Limit,
    model::rows,
    snapshot::{ArenaRow, ContainerRow, PeakPart, ProcessRow},
    text::escape,
    units::Bytes,
};

/// When a group's charge has changed by this much, or by one percent, its processes are read even without events: the
/// kernel may have reclaimed their memory.
const MOVED: u64 = 1 << 20;
/// The least time between two such reads, in ns.
const AGAIN: u64 = 10_000_000_000;

#[derive(Debug, Default)]
pub struct Groups {
    numbers: HashMap<Vec<u8>, usize>,
    /// Groups by number; `None` is a free slot that the next new group gets.
    groups: Vec<Option<Group>>,
    changes: u64,
}

/// A cgroup.
#[derive(Debug)]
pub struct Group {
    /// Its path.
    pub path: Vec<u8>,
    /// The lowest limit that applies to it.
    pub limit: Option<Limit>,
    /// Its charge at the last tick.
    pub usage: Option<Bytes>,
    /// Its highest charge ever, at the last reading.
    pub mark: Option<u64>,
    /// Whether it got or lost a row since the last tick.
    pub is_changed: bool,
    /// Sums over its processes; other fields are empty.
    sums: ContainerRow,
    owners: Arc<[PeakPart]>,
    members: usize,
    /// The charge at the last read of its processes because of a change, and the time of that read.
    looked: Option<(u64, u64)>,
}

impl Groups {
    /// Sets the limit of each group from `limit`. True when any has changed.
    pub fn set_limits(&mut self, mut limit: impl FnMut(&[u8]) -> Option<Limit>) -> bool {
        let mut has_changed = false;
        for group in self.groups.iter_mut().flatten() {
            let limit = limit(&group.path);
            if group.limit != limit {
                (group.limit, group.is_changed, has_changed) = (limit, true, true);
            }
        }
        has_changed
    }

    /// Takes a new row of a process that was in the group with the number `from`. Returns the number of its current
    /// group. `limit` is called for a new group.
    pub fn enter(
        &mut self,
        from: Option<usize>,
        path: Option<&[u8]>,
        limit: impl FnOnce() -> Option<Limit>,
    ) -> Option<usize> {
        let to = path.map(|path| match self.numbers.get(path) {
            Some(number) => *number,
            None => self.insert(Group::new(path, limit())),
        });
        if from != to {
            self.leave(from);
        }
        if let Some(group) = to.and_then(|to| self.get_mut(to)) {
            group.members += usize::from(from != to);
            group.is_changed = true;
        }
        to
    }

    /// Removes a process from its group.
    pub fn leave(&mut self, from: Option<usize>) {
        if let Some(group) = from.and_then(|from| self.get_mut(from)) {
            group.members = group.members.saturating_sub(1);
            group.is_changed = true;
        }
    }

    fn insert(&mut self, group: Group) -> usize {
        let path = group.path.clone();
        let number = self.groups.iter().position(Option::is_none).unwrap_or(self.groups.len());
        match self.groups.get_mut(number) {
            Some(free) => *free = Some(group),
            None => self.groups.push(Some(group)),
        }
        self.numbers.insert(path, number);
        self.changes += 1;
        number
    }

    /// Sums the rows, given with the number of their group, for groups that changed. Removes groups without rows.
    pub fn sum_up<'a>(&mut self, rows: impl Iterator<Item = (usize, &'a ProcessRow)>) {
        let Self { numbers, groups, changes } = self;
        for slot in &mut *groups {
            if let Some(group) = slot.take_if(|group| group.members == 0) {
                numbers.remove(&group.path);
                *changes += 1;
            }
        }
        let is_changed = |slot: &Option<Group>| slot.as_ref().is_some_and(|group| group.is_changed);
        let mut sums: Vec<Option<Sum>> =
            groups.iter().map(|slot| is_changed(slot).then(Sum::default)).collect();
        for (number, row) in rows {
            if let Some(Some(sum)) = sums.get_mut(number) {
                sum.add(row);
            }
        }
        for (group, sum) in groups.iter_mut().zip(sums) {
            if let (Some(group), Some(sum)) = (group, sum) {
                group.set(sum);
            }
        }
    }

    /// Ends the tick.
    pub fn end_tick(&mut self) {
        self.groups.iter_mut().flatten().for_each(|group| group.is_changed = false);
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().flatten()
    }

    /// How many times a group appeared or disappeared.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Upper bound of the numbers, exclusive.
    pub fn bound(&self) -> usize {
        self.groups.len()
    }

    /// The number of a path's group.
    pub fn number(&self, path: &[u8]) -> Option<usize> {
        self.numbers.get(path).copied()
    }

    /// The group of a number.
    pub fn get(&self, number: usize) -> Option<&Group> {
        self.groups.get(number)?.as_ref()
    }

    /// The group of a number.
    pub fn get_mut(&mut self, number: usize) -> Option<&mut Group> {
        self.groups.get_mut(number)?.as_mut()
    }
}

/// A sum of rows.
#[derive(Debug, Default)]
struct Sum {
    processes: usize,
    rss: u64,
    arenas: Vec<ArenaRow>,
    parts: Vec<PeakPart>,
}

impl Sum {
    fn add(&mut self, row: &ProcessRow) {
        self.processes += 1;
        self.rss += row.rss_bytes.unwrap_or_default().0;
        for arena in row.memory.iter().flat_map(|memory| &memory.arenas) {
            rows::add(&mut self.arenas, arena);
        }
        for part in row.peak.iter().flat_map(|peak| &*peak.owners) {
            ticks::add(&mut self.parts, part);
        }
    }
}

impl Group {
    fn new(path: &[u8], limit: Option<Limit>) -> Self {
        Self {
            path: path.to_vec(),
            limit,
            usage: None,
            mark: None,
            is_changed: true,
            sums: ContainerRow::empty(escape(path)),
            owners: Arc::default(),
            members: 0,
            looked: None,
        }
    }

    fn set(&mut self, Sum { processes, rss, mut arenas, mut parts }: Sum) {
        rows::sort(&mut arenas);
        ticks::order(&mut parts);
        (self.sums.processes, self.sums.rss_bytes) = (processes, Bytes(rss));
        (self.sums.arenas, self.owners) = (arenas.into(), parts.into());
    }

    /// Its path, escaped.
    pub fn name(&self) -> &str {
        &self.sums.cgroup
    }

    /// Its row, without figures from its files.
    pub fn row(&self) -> ContainerRow {
        ContainerRow { limit: self.limit.clone(), ..self.sums.clone() }
    }

    /// The parts of its processes' peaks.
    pub fn owners(&self) -> &Arc<[PeakPart]> {
        &self.owners
    }

    /// Whether its processes must be read, given its current charge.
    pub fn is_restless(&mut self, usage: Bytes, now: u64) -> bool {
        let (was, at) = *self.looked.get_or_insert((usage.0, now));
        let is_so = usage.0.abs_diff(was) >= MOVED.max(was / 100) && at.saturating_add(AGAIN) <= now;
        if is_so {
            self.looked = Some((usage.0, now));
        }
        is_so
    }
}

#[cfg(test)]
#[path = "groups_tests.rs"]
mod tests;
