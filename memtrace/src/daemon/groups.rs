//! The cgroups that have processes, from tick to tick, and what the rows of their processes sum up to.
//!
//! Input: the rows of processes, one by one. Output: a row for each group. Pure. Where no row is new the sums of the last
//! tick stand: most groups of a node are at rest.

use std::{collections::HashMap, sync::Arc};

use super::{limits, peaks::ticks, summary};
use crate::{
    container::memcg::Limit,
    snapshot::{ArenaRow, ContainerRow, PeakPart, ProcessRow},
    units::{Bytes, escape},
};

/// When a group's charge has moved by this much, or by a hundredth of it, its processes are read though nothing is known
/// to have happened to them: the kernel may have taken their memory.
const MOVED: u64 = 1 << 20;
/// But not more often than this, in ns.
const AGAIN: u64 = 10_000_000_000;

/// See the module.
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
    /// When it was asked for.
    limit_at: u64,
    /// What it was charged at the last tick.
    pub usage: Option<Bytes>,
    /// Its highest charge ever, as it was read last.
    pub mark: Option<u64>,
    /// Some row of it is new, or gone, since the last tick.
    pub is_changed: bool,
    /// Sums over its processes; all else is empty.
    sums: ContainerRow,
    arenas: Vec<ArenaRow>,
    parts: Vec<PeakPart>,
    owners: Arc<[PeakPart]>,
    members: usize,
    /// What it was charged when its processes were last read for that, and when it was.
    marked: Option<(u64, u64)>,
}

impl Groups {
    /// Begins a tick: asks for the limits that are old. True when any has changed.
    pub fn begin_tick(&mut self, now: u64, mut limit: impl FnMut(&[u8]) -> Option<Limit>) -> bool {
        let mut has_changed = false;
        for group in self.groups.iter_mut().flatten() {
            if group.limit_at.saturating_add(limits::TTL) <= now {
                let limit = limit(&group.path);
                let is_other = group.limit != limit;
                (group.is_changed, has_changed) = (group.is_changed || is_other, has_changed || is_other);
                (group.limit, group.limit_at) = (limit, now);
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
        now: u64,
        limit: impl FnOnce() -> Option<Limit>,
    ) -> Option<usize> {
        let to = path.map(|path| match self.numbers.get(path) {
            Some(number) => *number,
            None => self.insert(Group::new(path, limit(), now)),
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
        let is_empty = |group: &mut Group| group.members == 0;
        let Self { numbers, groups, changes } = self;
        for slot in groups {
            if let Some(group) = slot.take_if(is_empty) {
                numbers.remove(&group.path);
                *changes += 1;
            }
        }
        for group in self.groups.iter_mut().flatten().filter(|group| group.is_changed) {
            group.sums = ContainerRow::empty(std::mem::take(&mut group.sums.cgroup));
            group.parts.clear();
        }
        for (number, row) in rows {
            let Some(group) = self.get_mut(number).filter(|group| group.is_changed) else { continue };
            group.sums.processes += 1;
            group.sums.rss_bytes.0 += row.rss_bytes.unwrap_or_default().0;
            for arena in row.memory.iter().flat_map(|memory| &memory.arenas) {
                summary::add(&mut group.arenas, arena);
            }
            for part in row.peak.iter().flat_map(|peak| &*peak.owners) {
                ticks::add(&mut group.parts, part);
            }
        }
        for group in self.groups.iter_mut().flatten().filter(|group| group.is_changed) {
            summary::sort(&mut group.arenas);
            group.sums.arenas = group.arenas.drain(..).collect();
            ticks::order(&mut group.parts);
            group.owners = group.parts.drain(..).collect();
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

impl Group {
    fn new(path: &[u8], limit: Option<Limit>, now: u64) -> Self {
        Self {
            path: path.to_vec(),
            limit,
            limit_at: now,
            usage: None,
            mark: None,
            is_changed: true,
            sums: ContainerRow::empty(escape(path)),
            arenas: Vec::new(),
            parts: Vec::new(),
            owners: Arc::default(),
            members: 0,
            marked: None,
        }
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
        let (was, at) = *self.marked.get_or_insert((usage.0, now));
        let is_so = usage.0.abs_diff(was) >= MOVED.max(was / 100) && at.saturating_add(AGAIN) <= now;
        if is_so {
            self.marked = Some((usage.0, now));
        }
        is_so
    }
}

#[cfg(test)]
#[path = "groups_tests.rs"]
mod tests;
