//! The cgroups that have processes, from tick to tick, and what the rows of their processes sum up to.
//!
//! Input: the rows of processes, one by one. Output: a row for each group. Pure. Where no row is new the sums of the last
//! tick stand: most groups of a node are at rest.

use std::{collections::HashMap, sync::Arc};

use super::peaks::ticks;
use crate::{
    cgroup::memcg::Limit,
    model::rows,
    snapshot::{ArenaRow, ContainerRow, PeakPart, ProcessRow},
    text::escape,
    units::Bytes,
};

/// When a group's charge has moved by this much, or by a hundredth of it, its processes are read though nothing is known
/// to have happened to them: the kernel may have taken their memory.
const MOVED: u64 = 1 << 20;
/// But not more often than this, in ns.
const AGAIN: u64 = 10_000_000_000;

#[derive(Debug, Default)]
pub struct Groups {
    numbers: HashMap<Vec<u8>, usize>,
    /// By number; `None` where there is none any more, and the next one will be.
    groups: Vec<Option<Group>>,
    changes: u64,
}

/// A cgroup.
#[derive(Debug)]
pub struct Group {
    /// Its path.
    pub path: Vec<u8>,
    /// The lowest limit that it is under.
    pub limit: Option<Limit>,
    /// What it was charged at the last tick.
    pub usage: Option<Bytes>,
    /// Its highest charge ever, as it was read last.
    pub mark: Option<u64>,
    /// Some row of it is new, or gone, since the last tick.
    pub is_changed: bool,
    /// Sums over its processes; all else is empty.
    sums: ContainerRow,
    owners: Arc<[PeakPart]>,
    members: usize,
    /// What it was charged when its processes were last read for that, and when it was.
    looked: Option<(u64, u64)>,
}

impl Groups {
    /// Asks for the limit of each. True when any has changed.
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

    /// A process has a new row. It was in the group of the number `from`; what comes back is the number of its group now.
    /// `limit` is asked for one that is new.
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

    /// A process of a group is gone.
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

    /// Sums up the rows, each with the number of its group, where one is new or gone; groups without any are gone too.
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

    /// The tick is over.
    pub fn end_tick(&mut self) {
        self.groups.iter_mut().flatten().for_each(|group| group.is_changed = false);
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().flatten()
    }

    /// How often a group came or went.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Numbers are below this.
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

/// What rows sum up to.
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

    /// Its row, without what its files say.
    pub fn row(&self) -> ContainerRow {
        ContainerRow { limit: self.limit.clone(), ..self.sums.clone() }
    }

    /// What its processes' peaks were made of.
    pub fn owners(&self) -> &Arc<[PeakPart]> {
        &self.owners
    }

    /// Whether its processes are to be read, now that it is charged so much.
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
