//! The address spaces of the tracked processes, and the owners of their memory.
//!
//! Input: events, scans, totals. Output: arenas by process, and which processes to scan next. Pure: only the scanner
//! reads.

use std::collections::{HashMap, HashSet};

use memtrace_common::event::fault::Fault;

use self::{given_up::GivenUp, reread::Reread, schedule::Asked, tracked::Tracked};
use super::{
    arenas::{self, Arenas},
    budget::Budget,
    peaks::{GroupPeak, ProcessPeak, ticks::Estimate},
};
use crate::{
    allocator::attribute,
    ingest::{
        decode::{Event, TaskEvent},
        stack::StackCopy,
    },
    mm::{
        address_space::{Geometry, Stale},
        gauge::Gauge,
        process::Resident,
        region::Region,
        spare,
    },
    model::{
        scan::Scan,
        walk::{Job, Key, Unwound},
    },
    units::Bytes,
    unwind::Copy,
};

mod apply_scan;
mod given_up;
mod reconcile;
mod reread;
mod scan_state;
mod schedule;
mod stacks;
mod totals;
mod tracked;

/// All address spaces.
pub struct Spaces {
    geometry: Geometry,
    budget: Budget,
    tracked: HashMap<u32, Tracked>,
    given_up: GivenUp,
    /// Requested scans that have not arrived.
    under_way: HashMap<u32, Asked>,
    /// Bytes left for events that wait for a scan.
    room_for_events: u64,
    /// Processes that use the address space of another (`CLONE_VM` without `CLONE_THREAD`), until they end or call
    /// exec.
    guests: HashMap<u32, u32>,
    group_peaks: Vec<GroupPeak>,
    /// Time of the last tick.
    ticked: u64,
    /// Processes with events since the last tick.
    touched: Vec<u32>,
    /// Processes for which a scan may be worthwhile, with the kernel's total of each.
    candidates: HashMap<u32, u64>,
    /// Processes whose totals are read at each tick.
    wanting: HashSet<u32>,
    /// Counters that are read again by time.
    reread: Reread,
    /// Memory used by all spaces, in bytes.
    footprint: u64,
}

impl Spaces {
    /// Without any process.
    pub fn new(geometry: Geometry, budget: Budget) -> Self {
        Self {
            geometry,
            budget,
            tracked: HashMap::new(),
            given_up: GivenUp::default(),
            under_way: HashMap::new(),
            room_for_events: budget.events(),
            guests: HashMap::new(),
            group_peaks: Vec::new(),
            ticked: 0,
            touched: Vec::new(),
            candidates: HashMap::new(),
            wanting: HashSet::new(),
            reread: Reread::default(),
            footprint: 0,
        }
    }

    /// Applies an event to its space. Processes that existed before the tracer have no space until they are scanned.
    pub fn apply(&mut self, event: &Event) {
        let pid = event.header().tgid;
        match event {
            Event::Task(TaskEvent::Fork(fork)) => self.fork(pid, fork.child.tgid, fork.shares_mm != 0),
            Event::Task(TaskEvent::Exec(exec)) => {
                // exec replaces the program, with its modules and stacks.
                let group = self.end(pid, event.header().ktime);
                let mut tracked = Tracked::new(self.geometry);
                (tracked.group, tracked.born) = (group, event.header().ktime);
                if exec.task.tgid == pid {
                    self.insert(pid, tracked);
                }
            }
            Event::Task(TaskEvent::Exit(exit)) => {
                self.end(exit.task.tgid, event.header().ktime);
            }
            Event::Space(_) | Event::Kill(_) => {
                let host = self.guests.get(&pid).copied().unwrap_or(pid);
                let Some(tracked) = self.tracked.get_mut(&host) else { return };
                let was = tracked.resident();
                tracked.apply(event, &mut self.room_for_events);
                list(&mut self.touched, host, tracked);
                if let Some(group_peak) = tracked.group.and_then(|group| self.group_peaks.get_mut(group)) {
                    group_peak.change(was, tracked.resident(), event.header().ktime);
                }
                if Self::has_grown(tracked) {
                    self.account(host);
                    self.enforce();
                }
            }
            _ => {}
        }
    }

    fn fork(&mut self, pid: u32, child: u32, shares_mm: bool) {
        let host = self.guests.get(&pid).copied().unwrap_or(pid);
        self.remove(child);
        self.guests.remove(&child);
        if shares_mm {
            self.guests.insert(child, host);
            return;
        }
        if !self.has_room_for_child(host, child) {
            return;
        }
        let Some(parent) = self.tracked.get_mut(&host) else { return };
        let tracked = parent.fork(self.geometry);
        self.insert(child, tracked);
    }

    fn insert(&mut self, pid: u32, mut tracked: Tracked) {
        list(&mut self.touched, pid, &mut tracked);
        self.remove(pid);
        self.given_up.forget(pid);
        self.tracked.insert(pid, tracked);
        self.account(pid);
    }

    fn remove(&mut self, pid: u32) -> Option<Tracked> {
        let tracked = self.tracked.remove(&pid)?;
        self.footprint = self.footprint.saturating_sub(tracked.shown.footprint);
        Some(tracked)
    }

    /// Removes a process that ended without an event.
    pub fn forget(&mut self, pid: u32) {
        self.guests.remove(&pid);
        self.given_up.forget(pid);
        self.remove(pid);
        self.candidates.remove(&pid);
    }

    /// Removes an address space. Returns the number of its cgroup. A guest only leaves its host's space.
    fn end(&mut self, pid: u32, at: u64) -> Option<usize> {
        if let Some(host) = self.guests.remove(&pid) {
            return self.tracked.get(&host).and_then(|tracked| tracked.group);
        }
        self.candidates.remove(&pid);
        self.given_up.forget(pid);
        let tracked = self.remove(pid)?;
        if let Some(group_peak) = tracked.group.and_then(|group| self.group_peaks.get_mut(group)) {
            group_peak.change(tracked.resident(), 0, at);
        }
        tracked.group
    }

    /// Begins a tick; `groups` is the upper bound of the cgroup numbers.
    pub fn begin_tick(&mut self, now: u64, groups: usize) {
        self.ticked = now;
        spare::give_back(&mut self.tracked);
        spare::give_back(&mut self.candidates);
        self.group_peaks = vec![GroupPeak::default(); groups];
        let Self { tracked, wanting, .. } = self;
        let mut wants = |pid: &u32| tracked.get_mut(pid).is_some_and(Tracked::wants_totals);
        wanting.retain(&mut wants);
        wanting.extend(self.touched.iter().copied().filter(wants));
        for pid in std::mem::take(&mut self.touched) {
            if let Some(tracked) = self.tracked.get_mut(&pid) {
                (tracked.peak, tracked.dirty.is_listed) = (ProcessPeak::new(&tracked.space), false);
            }
            self.account(pid);
        }
        self.enforce();
        let kept = self.under_way.keys().filter_map(|pid| self.tracked.get(pid));
        let kept = kept.map(|tracked| tracked.scan.pending.footprint()).fold(0, u64::saturating_add);
        self.room_for_events = self.budget.events().saturating_sub(kept);
    }

    /// Sets the number of the cgroup of a process.
    pub fn enter(&mut self, pid: u32, group: Option<usize>) {
        if let Some(tracked) = self.tracked.get_mut(&pid) {
            tracked.group = group;
        }
    }

    /// The highest rise of a cgroup's processes together since the tick began, and when.
    pub fn group_peak(&self, group: usize) -> Option<(u64, u64)> {
        self.group_peaks.get(group)?.rise()
    }

    /// The peak estimate of a process since the tick began. Call after [`Spaces::arenas`].
    pub fn estimate(&self, pid: u32) -> Estimate {
        let Some(tracked) = self.tracked.get(&pid) else { return Estimate::default() };
        let rows = match tracked.peak.kept(&tracked.space) {
            Some(kept) => {
                let regions: Vec<Region> = kept.regions().collect();
                arenas::rows(
                    kept,
                    &attribute(&tracked.attribution.evidence, &regions),
                    &tracked.attribution.split,
                )
            }
            None => tracked.shown.rows.clone(),
        };
        Estimate { rise: tracked.peak.rise(), rows }
    }

    /// Marks all spaces as stale, because events were lost.
    pub fn mark_stale(&mut self) {
        for (pid, tracked) in &mut self.tracked {
            tracked.mark_stale(Stale::Loss);
            list(&mut self.touched, *pid, tracked);
        }
    }

    /// The processes whose totals must be read even without events.
    pub fn want_totals(&self) -> impl Iterator<Item = u32> {
        self.wanting.iter().copied()
    }

    /// Takes the kernel's total of a process: adjusts the estimates since the last scan to it.
    pub fn close(&mut self, pid: u32, resident: Resident) {
        self.candidates.insert(pid, resident.bytes);
        let Some(tracked) = self.tracked.get_mut(&pid) else { return };
        let (was, is) = tracked.close(resident);
        list(&mut self.touched, pid, tracked);
        if let Some(group_peak) = tracked.group.and_then(|group| self.group_peaks.get_mut(group)) {
            group_peak.close(was, is);
        }
    }

    /// Takes a scan, and applies the events since then.
    pub fn take(&mut self, scan: Scan) {
        let pid = scan.pid;
        self.reread.done(&scan);
        let asked = self.under_way.remove(&pid).unwrap_or_default();
        let Some(tracked) = self.tracked.get_mut(&pid) else { return };
        if let Some(over) = scan.over {
            list(&mut self.touched, pid, tracked);
            return self.take_size(pid, over, asked.room);
        }
        tracked.take(scan);
        list(&mut self.touched, pid, tracked);
        self.account(pid);
        self.enforce();
    }

    /// The unwinding job for a fault that was just applied; `None` when its stack is not needed.
    pub fn job(&mut self, fault: &Fault, copy: StackCopy) -> Option<Job> {
        let pid = fault.header.tgid;
        let pid = self.guests.get(&pid).copied().unwrap_or(pid);
        let tracked = self.tracked.get_mut(&pid)?;
        let key = Key::of(pid, fault);
        if !tracked.stacks.waits_for(key) {
            return None;
        }
        let StackCopy { registers, base, bytes, .. } = copy;
        // Before the first scan the mappings of the program are unknown.
        let is_known = tracked.scan.last.is_some();
        let modules = if is_known { tracked.stacks.modules(&tracked.space) } else { None };
        Some(Job { key, copy: Copy { registers, base, bytes }, modules })
    }

    /// Takes the result of a walk.
    pub fn unwound(&mut self, unwound: &Unwound) {
        if let Some(tracked) = self.tracked.get_mut(&unwound.key.pid) {
            tracked.stacks.take(unwound);
            tracked.touch();
            list(&mut self.touched, unwound.key.pid, tracked);
        }
    }

    /// The processes with events since the last tick.
    pub fn touched(&self) -> &[u32] {
        &self.touched
    }

    /// Until when the last result of [`Spaces::arenas`] is valid if the process has no events and its total stays the
    /// same.
    pub fn stands_until(&self, pid: u32) -> u64 {
        let tracked = self.tracked.get(&pid).filter(|tracked| tracked.scan.last.is_some());
        tracked.map_or(u64::MAX, |tracked| tracked.shown.stands_until)
    }

    /// The arenas of a process whose resident memory is `total`; `None` for one that was never scanned.
    pub fn arenas(&mut self, pid: u32, total: Bytes, now: u64) -> Option<Arenas<'_>> {
        let ticked = self.ticked;
        let tracked = self.tracked.get_mut(&pid).filter(|tracked| tracked.scan.last.is_some())?;
        tracked.own();
        if std::mem::take(&mut tracked.dirty.rows) {
            tracked.shown.rows =
                arenas::rows(&tracked.space, &tracked.attribution.owned, &tracked.attribution.split);
        }
        if std::mem::replace(&mut tracked.shown.gauged_at, now) < ticked {
            tracked.shown.gauges.iter_mut().for_each(|(_, gauge)| gauge.stand(ticked));
        }
        for row in &tracked.shown.rows {
            let key = (row.allocator, row.kind);
            match tracked.shown.gauges.iter_mut().find(|(of, _)| *of == key) {
                Some((_, gauge)) => gauge.read(now, row.resident.0),
                None => {
                    let mut gauge = Gauge::default();
                    gauge.read(now, row.resident.0);
                    tracked
                        .shown
                        .gauges
                        .reserve_exact(tracked.shown.rows.len().saturating_sub(tracked.shown.gauges.len()));
                    tracked.shown.gauges.push((key, gauge));
                }
            }
        }
        let gauges = tracked.shown.gauges.iter().map(|(_, gauge)| gauge.stands_until()).min();
        let stacks = tracked.stacks.growth.stands_until(now);
        tracked.shown.stands_until = gauges.map_or(stacks, |gauges| gauges.min(stacks));
        Some(Arenas {
            rows: &tracked.shown.rows,
            closing: tracked.space.totals().close(total),
            stale: tracked.space.stale(),
            unfinished: tracked.attribution.evidence.unfinished.as_deref(),
            scanned_at: tracked.scan.last.map(|last| last.at),
            sampled: tracked.scan.last.map_or(0, |last| last.sampled),
            gauges: &tracked.shown.gauges,
            stacks: &tracked.stacks.growth,
            space: &tracked.space,
            reading: tracked.attribution.reading.as_ref(),
        })
    }

    /// Why the page tables of a process could not be read the last time, if so.
    pub fn not_read(&self, pid: u32) -> Option<&str> {
        self.tracked.get(&pid)?.scan.not_read.as_ref().map(|(why, _)| why.as_str())
    }

    /// The number of tracked processes, and the memory that they used at the last tick.
    pub fn footprint(&self) -> (usize, Bytes) {
        (self.tracked.len(), Bytes(self.footprint))
    }
}

/// Adds a process with events to the list, once.
fn list(touched: &mut Vec<u32>, pid: u32, tracked: &mut Tracked) {
    if tracked.shown.stands_until == 0 && !std::mem::replace(&mut tracked.dirty.is_listed, true) {
        touched.push(pid);
    }
}

#[cfg(test)]
#[path = "spaces_tests.rs"]
mod tests;
