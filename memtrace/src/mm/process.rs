//! The processes of the node and their resident memory.
//!
//! Input: events, and /proc for what events do not carry. Output: [`Process`]es with their resident memory and its
//! growth. A process is identified by pid *and* start time, because pids are reused. The model itself does no I/O;
//! [`ProcessTable::refresh`] asks a [`Source`].

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque, hash_map::Entry},
    ops::RangeInclusive,
};

use memtrace_common::{UNKNOWN, event::task::Task};
use serde::{Deserialize, Serialize};

use crate::{
    ingest::decode::{Event, SpaceEvent, TaskEvent},
    mm::spare,
    text::{comm, escape},
    units::raw,
};

/// The time over which the growth of resident memory is computed, in ns.
pub const GROWTH_WINDOW: u64 = 10_000_000_000;
/// Limits, in ns, of the interval after which a process without events is read again. The interval grows with its age:
/// most processes change soon after their start, and a node has thousands that sleep for days.
const SWEEP: RangeInclusive<u64> = 10_000_000_000..=60_000_000_000;
/// /proc gives start times in clock ticks of 10 ms, events in ns. Two processes with the same pid start further apart
/// than this.
const START_TOLERANCE: u64 = 20_000_000;
/// The most readings kept of one process.
const READINGS: usize = 16;

/// The facts from /proc about a process when it is first seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    /// Name, any bytes.
    #[serde(with = "raw")]
    pub comm: Vec<u8>,
    /// Start, ns since boot, to the precision of clock ticks.
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

/// The source of facts that events do not carry.
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
    /// The part of `bytes` in files and shared memory.
    pub shared: u64,
}

/// A reading of resident memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Time, ns since boot.
    pub at: u64,
    /// Bytes.
    pub bytes: u64,
    /// The part of `bytes` in files and shared memory.
    pub shared: u64,
}

/// A change of resident memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    /// Bytes at the end minus bytes at the start.
    pub bytes: i64,
    /// Time between the two in ns, never 0.
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
    /// Id of the process that forked it, or of its parent when /proc was last read.
    pub parent: Option<u32>,
    /// Id of the process that forked it, and the time in ns since boot; `None` once it runs another program.
    pub copy_of: Option<(u32, u64)>,
    /// Whether it had events before the last reading, or that reading found another size.
    pub was_busy: bool,
    readings: VecDeque<Reading>,
    is_dirty: bool,
    /// Whether events about it may have been lost.
    is_suspect: bool,
    /// The time of its entry in `sweeps`.
    swept_at: Option<u64>,
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
            was_busy: true,
            readings: VecDeque::new(),
            is_dirty: true,
            is_suspect: false,
            swept_at: None,
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
        // A process without events has not grown, so it needs no reading.
        let over = now
            .max(last.at)
            .checked_sub(first.at)
            .filter(|over| *over > 0 && first.at < last.at.max(from))?;
        let bytes = i128::from(last.bytes) - i128::from(first.bytes);
        // No growth over a longer time means no growth over the window.
        let over = if bytes == 0 { over.min(GROWTH_WINDOW) } else { over };
        Some(Growth { bytes: i64::try_from(bytes).ok()?, over })
    }

    /// Whether its growth is zero and stays zero until the next reading.
    pub fn is_at_rest(&self, now: u64) -> bool {
        let last = self.readings.back();
        self.growth(now).is_some_and(|growth| growth.over >= GROWTH_WINDOW)
            && self.readings.iter().all(|reading| last.is_some_and(|last| last.bytes == reading.bytes))
    }

    /// When it is read again if it has no events.
    fn sweep_at(&self) -> u64 {
        let Some(reading) = self.resident() else { return 0 };
        let age = reading.at.saturating_sub(self.start.unwrap_or(reading.at));
        reading.at.saturating_add(age.clamp(*SWEEP.start(), *SWEEP.end()))
    }

    fn is_old(&self, now: u64) -> bool {
        self.is_suspect || self.sweep_at() <= now
    }

    /// Reads it again. Returns whether it has moved to another cgroup; `None` when the process is gone.
    fn refresh(&mut self, source: &impl Source, now: u64) -> Option<bool> {
        let mut has_moved = false;
        if self.is_old(now) {
            let seed = source.seed(self.pid).filter(|seed| !seed.is_kernel_thread)?;
            // If this is another process with the same pid, the exit and the fork in between were lost.
            let is_another = self.start.is_some_and(|start| start.abs_diff(seed.start) > START_TOLERANCE);
            if is_another && self.resident().is_some() {
                *self = Self { swept_at: self.swept_at, ..Self::new(self.pid) };
            }
            // Processes change name, user and cgroup, most of all right after their start.
            has_moved = self.take(seed);
        }
        self.read(now, source.resident(self.pid)?);
        Some(has_moved)
    }

    /// Takes the facts from /proc. Returns whether the cgroup changed.
    fn take(&mut self, seed: Seed) -> bool {
        self.comm = escape(&seed.comm);
        self.start = self.start.or(Some(seed.start));
        self.uid = seed.uid.or(self.uid);
        self.parent = seed.parent.or(self.parent);
        let has_moved = seed.cgroup.is_some() && seed.cgroup != self.cgroup;
        self.cgroup = seed.cgroup.or(self.cgroup.take());
        has_moved
    }

    fn read(&mut self, at: u64, Resident { bytes, shared }: Resident) {
        self.was_busy = self.is_dirty || self.resident().is_none_or(|last| last.bytes != bytes);
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

/// All processes of the node. A process without events costs nothing: a node has thousands that sleep.
#[derive(Debug, Default)]
pub struct ProcessTable {
    processes: HashMap<u32, Process>,
    /// Those to be read at the next refresh.
    marked: Vec<u32>,
    /// When to read each process if it has no events; one entry for each process that was read.
    sweeps: BinaryHeap<Reverse<(u64, u32)>>,
    news: News,
}

/// The changes since the last call of [`ProcessTable::news`].
#[derive(Debug, Default)]
pub struct News {
    /// Processes that were read.
    pub read: Vec<u32>,
    /// Processes that are gone; their ids may be in use again.
    pub gone: Vec<u32>,
    /// A process appeared or moved to another cgroup.
    pub has_moved: bool,
}

impl ProcessTable {
    /// Adds the processes that existed before the first event.
    pub fn seed(&mut self, pids: &[u32], source: &impl Source, now: u64) {
        for pid in pids {
            if let Entry::Vacant(vacant) = self.processes.entry(*pid) {
                vacant.insert(Process::new(*pid));
                self.marked.push(*pid);
            }
        }
        self.refresh(source, now);
    }

    /// Applies one event.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Task(TaskEvent::Fork(fork)) => {
                let copy_of = (fork.shares_mm == 0).then_some((fork.header.tgid, fork.header.ktime));
                let parent = Some(fork.header.tgid);
                let child = Process { copy_of, parent, ..Process::of_task(&fork.child) };
                self.processes.insert(fork.child.tgid, child);
                self.marked.push(fork.child.tgid);
            }
            Event::Task(TaskEvent::Exec(exec)) => {
                let task = &exec.task;
                let process = self.processes.entry(task.tgid).or_insert_with(|| Process::of_task(task));
                process.comm = comm(&task.leader_comm);
                process.copy_of = None;
                process.is_dirty = true;
                // A service manager moves the child to its cgroup before exec, so read the cgroup again.
                process.is_suspect = true;
                self.marked.push(task.tgid);
            }
            Event::Task(TaskEvent::Exit(exit)) => {
                let known = self.processes.remove(&exit.task.tgid);
                self.news.gone.extend(known.map(|_| exit.task.tgid));
            }
            // It changed nothing.
            Event::Space(SpaceEvent::Refused(_)) => {}
            Event::Space(_) => {
                let pid = event.header().tgid;
                if pid != 0 {
                    match self.processes.entry(pid) {
                        Entry::Occupied(known) => {
                            if !std::mem::replace(&mut known.into_mut().is_dirty, true) {
                                self.marked.push(pid);
                            }
                        }
                        Entry::Vacant(vacant) => {
                            vacant.insert(Process::new(pid));
                            self.marked.push(pid);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// Marks every process to be read at the next refresh as if it were new.
    pub fn mark_all(&mut self) {
        self.processes.values_mut().for_each(|process| process.is_suspect = true);
        self.marked.extend(self.processes.keys());
    }

    /// Marks these processes to be read at the next refresh, even without an event.
    pub fn mark(&mut self, pids: impl IntoIterator<Item = u32>) {
        for pid in pids {
            if let Some(process) = self.processes.get_mut(&pid) {
                process.is_dirty = true;
                self.marked.push(pid);
            }
        }
    }

    /// Reads the processes that had events, and those whose sweep is due.
    pub fn refresh(&mut self, source: &impl Source, now: u64) {
        let mut due = std::mem::take(&mut self.marked);
        while let Some(Reverse((at, pid))) = self.sweeps.peek().copied().filter(|Reverse((at, _))| *at <= now)
        {
            self.sweeps.pop();
            // Otherwise the entry belongs to an earlier process with the same pid.
            let process = self.processes.get_mut(&pid).filter(|process| process.swept_at == Some(at));
            if let Some(process) = process {
                process.swept_at = None;
                due.push(pid);
            }
        }
        due.sort_unstable();
        due.dedup();
        for pid in due {
            let Some(process) = self.processes.get_mut(&pid) else { continue };
            if process.is_dirty || process.is_old(now) {
                let Some(has_moved) = process.refresh(source, now) else {
                    self.processes.remove(&pid);
                    self.news.gone.push(pid);
                    continue;
                };
                self.news.has_moved |= has_moved;
                self.news.read.push(pid);
            }
            if process.swept_at.is_none() {
                let at = process.sweep_at();
                process.swept_at = Some(at);
                self.sweeps.push(Reverse((at, pid)));
            }
        }
        spare::give_back(&mut self.processes);
    }

    /// The changes since the last call.
    pub fn news(&mut self) -> News {
        std::mem::take(&mut self.news)
    }

    /// Number of processes.
    pub fn count(&self) -> usize {
        self.processes.len()
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
