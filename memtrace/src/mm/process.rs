//! Processes: who there is, and how much of each is resident.
//!
//! Input: events, and /proc for what events do not carry. Output: [`Process`]es with their resident memory and its
//! growth. A process is known by pid *and* start time, because pids are used again. The model itself does no I/O;
//! [`ProcessTable::refresh`] asks a [`Source`].

use std::collections::{HashMap, VecDeque};

use memtrace_common::{UNKNOWN, event::task::Task};
use serde::{Deserialize, Serialize};

use crate::{
    ingest::decode::Event,
    units::{comm, escape, raw},
};

/// How long ago the older of two readings should be that growth is taken from.
pub const GROWTH_WINDOW: u64 = 10_000_000_000;
/// A process that nothing happens to is read again after this long.
const SWEEP: u64 = 10_000_000_000;
/// /proc tells starts in clock ticks of 10 ms, events in ns; two processes of one id are further apart.
const START_TOLERANCE: u64 = 20_000_000;
/// Readings of one process that are kept.
const READINGS: usize = 16;

/// What /proc says of a process when it is first seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    /// Name, any bytes.
    #[serde(with = "raw")]
    pub comm: Vec<u8>,
    /// Start, ns since boot, as exact as clock ticks are.
    pub start: u64,
    /// Id of its parent.
    #[serde(default)]
    pub parent: Option<u32>,
    /// Real user id.
    pub uid: Option<u32>,
    /// Path of its memory cgroup.
    #[serde(with = "raw::option")]
    pub cgroup: Option<Vec<u8>>,
    /// Kernel threads have no memory of their own.
    pub is_kernel_thread: bool,
}

/// Where the table gets what events do not carry.
pub trait Source {
    /// Everything about a process, `None` when it is gone or cannot be read.
    fn seed(&self, pid: u32) -> Option<Seed>;
    /// Its resident memory, `None` when it is gone.
    fn resident(&self, pid: u32) -> Option<Resident>;
}

/// The resident memory of a process as the kernel counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resident {
    /// Bytes, all kinds.
    pub bytes: u64,
    /// Those of files and of shared memory among them.
    pub shared: u64,
}

/// A reading of resident memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// When, ns since boot.
    pub at: u64,
    /// Bytes.
    pub bytes: u64,
    /// Those of files and of shared memory among them.
    pub shared: u64,
}

/// How resident memory changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    /// Bytes more (or less) than at the start.
    pub bytes: i64,
    /// Over so many nanoseconds, never 0.
    pub over: u64,
}

/// A process.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Start, ns since boot; `None` until it is known.
    pub start: Option<u64>,
    /// Name, escaped.
    pub comm: String,
    /// Real user id.
    pub uid: Option<u32>,
    /// Path of its memory cgroup, raw.
    pub cgroup: Option<Vec<u8>>,
    /// The process that it was forked from, or whose child it was when /proc was asked last.
    pub parent: Option<u32>,
    /// The process that it was forked from and when, ns since boot, while it runs the same program.
    pub copy_of: Option<(u32, u64)>,
    readings: VecDeque<Reading>,
    is_dirty: bool,
    /// Whether events about it may have been lost.
    is_suspect: bool,
}

impl Process {
    fn new(pid: u32) -> Self {
        Self {
            pid,
            start: None,
            comm: String::new(),
            uid: None,
            cgroup: None,
            parent: None,
            copy_of: None,
            readings: VecDeque::new(),
            is_dirty: true,
            is_suspect: false,
        }
    }

    fn of_task(task: &Task) -> Self {
        Self {
            start: (task.start_boottime != UNKNOWN).then_some(task.start_boottime),
            comm: comm(&task.leader_comm),
            uid: (task.uid != u32::MAX).then_some(task.uid),
            ..Self::new(task.tgid)
        }
    }

    /// The latest reading.
    pub fn resident(&self) -> Option<Reading> {
        self.readings.back().copied()
    }

    /// The reading before that.
    pub fn previous(&self) -> Option<Reading> {
        self.readings.iter().rev().nth(1).copied()
    }

    /// Growth over [`GROWTH_WINDOW`], or over the process's life where that is shorter. `None` with one reading.
    pub fn growth(&self, now: u64) -> Option<Growth> {
        let last = self.readings.back()?;
        let from = now.saturating_sub(GROWTH_WINDOW);
        let first = self
            .readings
            .iter()
            .rev()
            .find(|reading| reading.at <= from)
            .or_else(|| self.readings.front())?;
        // A process that is not read because nothing happens to it has not grown.
        let over = now
            .max(last.at)
            .checked_sub(first.at)
            .filter(|over| *over > 0 && first.at < last.at.max(from))?;
        let bytes = i128::from(last.bytes) - i128::from(first.bytes);
        Some(Growth { bytes: i64::try_from(bytes).ok()?, over })
    }

    fn take(&mut self, seed: Seed) {
        self.comm = escape(&seed.comm);
        self.start = self.start.or(Some(seed.start));
        self.uid = seed.uid.or(self.uid);
        self.parent = seed.parent.or(self.parent);
        self.cgroup = seed.cgroup.or(self.cgroup.take());
    }

    fn read(&mut self, at: u64, Resident { bytes, shared }: Resident) {
        self.is_dirty = false;
        self.is_suspect = false;
        self.readings.push_back(Reading { at, bytes, shared });
        // One reading at or before the window's start is enough.
        let from = at.saturating_sub(GROWTH_WINDOW);
        while self.readings.len() > READINGS || self.readings.get(1).is_some_and(|second| second.at <= from) {
            self.readings.pop_front();
        }
    }
}

/// All processes of the node.
#[derive(Debug, Default)]
pub struct ProcessTable {
    processes: HashMap<u32, Process>,
}

impl ProcessTable {
    /// Takes over the processes that were there before the first event.
    pub fn seed(&mut self, pids: &[u32], source: &impl Source, now: u64) {
        for pid in pids {
            self.processes.entry(*pid).or_insert_with(|| Process::new(*pid));
        }
        self.refresh(source, now);
    }

    /// Applies one event.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Fork(fork) => {
                let copy_of = (fork.shares_mm == 0).then_some((fork.header.tgid, fork.header.ktime));
                let parent = Some(fork.header.tgid);
                let child = Process { copy_of, parent, ..Process::of_task(&fork.child) };
                self.processes.insert(fork.child.tgid, child);
            }
            Event::Exec(exec) => {
                let task = &exec.task;
                let process = self.processes.entry(task.tgid).or_insert_with(|| Process::of_task(task));
                process.comm = comm(&task.leader_comm);
                process.copy_of = None;
                process.is_dirty = true;
            }
            Event::Exit(exit) => {
                self.processes.remove(&exit.task.tgid);
            }
            Event::Mmap(_)
            | Event::Munmap(_)
            | Event::Mremap(_)
            | Event::Brk(_)
            | Event::Madvise(_)
            | Event::Mprotect(_)
            | Event::Throttled(_)
            | Event::Fault(_) => {
                let pid = event.header().tgid;
                if pid != 0 {
                    self.processes.entry(pid).or_insert_with(|| Process::new(pid)).is_dirty = true;
                }
            }
            Event::CgroupMkdir(_)
            | Event::CgroupRmdir(_)
            | Event::Refused(_)
            | Event::Signal(_)
            | Event::OomKill(_)
            | Event::SelfCheck(_) => {}
        }
    }

    /// Has every process read again at the next refresh, and looked at as if it were new.
    pub fn mark_all(&mut self) {
        self.processes.values_mut().for_each(|process| process.is_suspect = true);
    }

    /// Has this process read again at the next refresh, though no event tells of it.
    pub fn mark(&mut self, pid: u32) {
        if let Some(process) = self.processes.get_mut(&pid) {
            process.is_dirty = true;
        }
    }

    /// Reads the processes that something happened to, and those that were not read for long.
    pub fn refresh(&mut self, source: &impl Source, now: u64) {
        self.processes.retain(|pid, process| {
            let is_old = process.is_suspect
                || process.resident().is_none_or(|reading| reading.at.saturating_add(SWEEP) <= now);
            if !process.is_dirty && !is_old {
                return true;
            }
            if is_old {
                let Some(seed) = source.seed(*pid).filter(|seed| !seed.is_kernel_thread) else {
                    return false;
                };
                // The exit and fork between were lost if this is another process under the same id.
                let is_another =
                    process.start.is_some_and(|start| start.abs_diff(seed.start) > START_TOLERANCE);
                if is_another && process.resident().is_some() {
                    *process = Process::new(*pid);
                }
                // Processes change name, user and cgroup, most of all right after their start.
                process.take(seed);
            }
            match source.resident(*pid) {
                Some(resident) => {
                    process.read(now, resident);
                    true
                }
                None => false,
            }
        });
    }

    /// The processes, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Process> {
        self.processes.values()
    }

    /// The process of this id.
    pub fn get(&self, pid: u32) -> Option<&Process> {
        self.processes.get(&pid)
    }
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
