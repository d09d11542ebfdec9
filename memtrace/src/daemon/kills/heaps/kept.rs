//! The last looks at the heaps of each process, in a bounded memory.
//!
//! Looks -> what a record gets of them. Pure.

use std::{
    cmp::Reverse,
    collections::{HashMap, VecDeque},
};

use jiff::Timestamp;

use crate::{
    allocator::{
        counters::Absent,
        objects::{
            Census, Objects,
            growth::{self, keep},
        },
    },
    cgroup::hierarchy::is_within,
    oom::record::{OomRecord, circumstances::ObjectsBefore, is_same_start},
    reader::NotRead,
};

/// The most processes.
const MOST: usize = 24;
/// The most looks at a process: two are told, and one may be under way at the kill.
const LOOKS: usize = 3;
/// The most heaps of a process, and of a record.
const HEAPS: usize = 2;
/// The most bytes of a type's name while it waits.
const NAME: usize = 256;
/// In a record: the most processes, types of a heap, bytes of a name or a reason, and reasons of a heap.
const PROCESSES: usize = 2;
const ROWS: usize = 16;
const SHORT: usize = 128;
const REASONS: usize = 4;
/// In place of the name of a runtime.
const PROCESS: &str = "objects";

/// A look at a process.
pub(super) struct Look {
    pub(super) pid: u32,
    pub(super) started: Timestamp,
    pub(super) comm: String,
    pub(super) cgroup: String,
    /// When it began and ended, ns since boot.
    pub(super) began: u64,
    pub(super) ended: u64,
    pub(super) census: Result<Census, NotRead>,
}

/// The looks at one process.
#[derive(Debug)]
struct Process {
    started: Timestamp,
    comm: String,
    cgroup: String,
    /// When it was last tried, ns since boot.
    tried: u64,
    /// Those with figures, the oldest first, each with its end.
    looks: VecDeque<(Census, u64)>,
    /// Why the last try gave nothing, or not all.
    absent: Vec<Absent>,
}

/// The looks at all processes.
#[derive(Debug, Default)]
pub(super) struct Kept {
    processes: HashMap<u32, Process>,
}

impl Kept {
    /// Adds a look.
    pub(super) fn put(&mut self, look: Look) {
        let Look { pid, started, comm, cgroup, began, ended, census } = look;
        let old = self.processes.remove(&pid).filter(|old| is_same_start(old.started, started));
        let mut looks = old.map_or_else(VecDeque::new, |old| old.looks);
        let absent = match census {
            Ok(Census { mut heaps, mut absent, .. }) => {
                shorten(&mut heaps, NAME);
                absent.truncate(HEAPS);
                if !heaps.is_empty() {
                    looks.push_back((Census { at: began, heaps, absent: Vec::new() }, ended));
                }
                absent
            }
            Err(why) => vec![Absent { allocator: PROCESS.to_owned(), reason: why.to_string() }],
        };
        if looks.len() > LOOKS {
            looks.pop_front();
        }
        // A process without a runtime has nothing to tell.
        if looks.is_empty() && absent.is_empty() {
            return;
        }
        self.processes.insert(pid, Process { started, comm, cgroup, tried: began, looks, absent });
        if self.processes.len() > MOST {
            let oldest = self.processes.iter().min_by_key(|(_, process)| process.tried).map(|(pid, _)| *pid);
            oldest.map(|pid| self.processes.remove(&pid));
        }
    }

    /// What a record gets: the victim's heaps, and those of the largest other processes under the same limit.
    pub(super) fn of(&self, record: &OomRecord) -> Vec<ObjectsBefore> {
        let task = &record.victim.task;
        let is_victim = |pid: u32, process: &Process| {
            Some(pid) == task.pid && task.started.is_some_and(|start| is_same_start(start, process.started))
        };
        let owner = record.limit_owner.as_ref().and_then(|owner| owner.path.as_deref());
        let is_under = |process: &Process| owner.is_some_and(|owner| is_within(&process.cgroup, owner));
        let told = self.processes.iter().filter_map(|(pid, process)| {
            let is_victim = is_victim(*pid, process);
            (is_victim || is_under(process)).then(|| process.told(*pid, is_victim, record.ktime_ns))
        });
        let mut told: Vec<ObjectsBefore> = told.filter(|told| !told.is_empty()).collect();
        told.sort_by_key(|told| (!told.is_victim, Reverse(told.in_use())));
        told.truncate(PROCESSES);
        let mut left = HEAPS;
        for ObjectsBefore { heaps, .. } in &mut told {
            heaps.truncate(left);
            left -= heaps.len();
        }
        told.retain(|told| !told.is_empty());
        told
    }
}

impl Process {
    fn told(&self, pid: u32, is_victim: bool, killed: u64) -> ObjectsBefore {
        // A look that had not ended may have seen memory that was being freed.
        let mut looks =
            self.looks.iter().filter(|(_, ended)| *ended <= killed).map(|(census, _)| census).rev();
        let (last, before) = (looks.next(), looks.next());
        let mut last = last.cloned().unwrap_or_default();
        if let Some(before) = before {
            last.heaps.iter_mut().for_each(|heap| growth::since(&before.heaps, heap));
        }
        shorten(&mut last.heaps, SHORT);
        last.heaps.iter_mut().for_each(|heap| keep(heap, ROWS));
        let absent = self.absent.iter().take(HEAPS).map(|absent| Absent {
            allocator: cut(absent.allocator.clone(), SHORT),
            reason: cut(absent.reason.clone(), SHORT),
        });
        let age = |at: u64| killed.saturating_sub(at) as f64 / 1e9;
        ObjectsBefore {
            pid,
            comm: self.comm.clone(),
            is_victim,
            age_seconds: age(if last.heaps.is_empty() { self.tried } else { last.at }),
            before_age_seconds: before.map(|before| age(before.at)),
            absent: absent.collect(),
            heaps: last.heaps,
        }
    }
}

/// Bounds what is kept of heaps.
fn shorten(heaps: &mut Vec<Objects>, name: usize) {
    heaps.truncate(HEAPS);
    for heap in heaps {
        heap.runtime = cut(std::mem::take(&mut heap.runtime), name);
        for row in &mut heap.rows {
            row.name = cut(std::mem::take(&mut row.name), name);
        }
        heap.missing.truncate(REASONS);
        heap.missing.iter_mut().for_each(|reason| *reason = cut(std::mem::take(reason), name));
    }
}

/// The start of a text that is too long.
fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = (0..=most.saturating_sub(3)).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or_default());
        text.push_str("...");
        text.shrink_to_fit();
    }
    text
}

#[cfg(test)]
#[path = "kept_tests.rs"]
mod tests;
