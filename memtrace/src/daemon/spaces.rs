//! The address spaces of the processes that move, and whose memory is in them.
//!
//! Input: events, scans, totals. Output: arenas by process, and which processes to scan next. Pure: the scanner reads.

use std::collections::{HashMap, HashSet};

use memtrace_common::event::fault::Fault;

use self::tracked::{SMALL, Tracked};
use super::{
    arenas::{self, Arenas, Row},
    peaks::{Crest, Tide, ticks::Estimate},
    scanner::{Depth, Order, Request, Scan},
    unwinder::{Job, Key, Unwound},
};
use crate::{
    allocator::attribute,
    ingest::{decode::Event, stack::StackCopy},
    mm::{
        address_space::{Geometry, Stale},
        process::Resident,
        region::Region,
    },
    units::Bytes,
    unwind::Copy,
};

mod closing;
mod stacks;
mod tracked;

/// Scans that are asked for at most: the scanner takes them one by one, and what moves most should go first.
const UNDER_WAY: usize = 64;

/// All address spaces.
pub struct Spaces {
    geometry: Geometry,
    tracked: HashMap<u32, Tracked>,
    under_way: HashSet<u32>,
    /// Processes that use another's address space (`CLONE_VM` without being its thread), until they end or replace it.
    guests: HashMap<u32, u32>,
    tides: Vec<Tide>,
}

impl Spaces {
    /// None yet.
    pub fn new(geometry: Geometry) -> Self {
        Self {
            geometry,
            tracked: HashMap::new(),
            under_way: HashSet::new(),
            guests: HashMap::new(),
            tides: Vec::new(),
        }
    }

    /// Applies an event to the space that it is about. Processes that were there before the tracer have none until they
    /// are scanned.
    pub fn apply(&mut self, event: &Event) {
        let pid = event.header().tgid;
        match event {
            Event::Fork(fork) => self.fork(pid, fork.child.tgid, fork.shares_mm != 0),
            Event::Exec(exec) => {
                // The program is another one, and so are its modules and stacks.
                let tide = self.end(pid, event.header().ktime);
                let mut tracked = Tracked::new(self.geometry);
                (tracked.tide, tracked.born) = (tide, event.header().ktime);
                if exec.task.tgid == pid {
                    self.tracked.insert(pid, tracked);
                }
            }
            Event::Exit(exit) => {
                self.end(exit.task.tgid, event.header().ktime);
            }
            Event::CgroupMkdir(_) | Event::CgroupRmdir(_) => {}
            Event::Mmap(_)
            | Event::Munmap(_)
            | Event::Mremap(_)
            | Event::Brk(_)
            | Event::Madvise(_)
            | Event::Mprotect(_)
            | Event::Throttled(_)
            | Event::Fault(_)
            | Event::Refused(_)
            | Event::Signal(_)
            | Event::OomKill(_)
            | Event::SelfCheck(_) => {
                let host = self.guests.get(&pid).copied().unwrap_or(pid);
                let Some(tracked) = self.tracked.get_mut(&host) else { return };
                let was = tracked.resident();
                tracked.apply(event);
                if let Some(tide) = tracked.tide.and_then(|tide| self.tides.get_mut(tide)) {
                    tide.change(was, tracked.resident(), event.header().ktime);
                }
            }
        }
    }

    fn fork(&mut self, pid: u32, child: u32, shares_mm: bool) {
        let host = self.guests.get(&pid).copied().unwrap_or(pid);
        self.tracked.remove(&child);
        self.guests.remove(&child);
        if shares_mm {
            self.guests.insert(child, host);
            return;
        }
        let Some(parent) = self.tracked.get_mut(&host) else { return };
        let space = parent.space.fork();
        let tracked = Tracked {
            crest: Crest::new(&space),
            space,
            evidence: parent.evidence.clone(),
            rss_at_scan: parent.rss_at_scan,
            scanned_at: parent.scanned_at,
            sampled: parent.sampled,
            tide: parent.tide,
            ..Tracked::new(self.geometry)
        };
        self.tracked.insert(child, tracked);
    }

    /// An address space is gone; the tide that it was of. A guest only leaves its host's.
    fn end(&mut self, pid: u32, at: u64) -> Option<usize> {
        if let Some(host) = self.guests.remove(&pid) {
            return self.tracked.get(&host).and_then(|tracked| tracked.tide);
        }
        let tracked = self.tracked.remove(&pid)?;
        if let Some(tide) = tracked.tide.and_then(|tide| self.tides.get_mut(tide)) {
            tide.change(tracked.resident(), 0, at);
        }
        tracked.tide
    }

    /// Begins a tick; `groups` gives the cgroup of each process, as a number below `count`.
    pub fn begin_tick(&mut self, count: usize, groups: impl Iterator<Item = (u32, usize)>) {
        self.tides = vec![Tide::default(); count];
        for tracked in self.tracked.values_mut() {
            (tracked.crest, tracked.tide) = (Crest::new(&tracked.space), None);
        }
        for (pid, group) in groups {
            if let Some(tracked) = self.tracked.get_mut(&pid) {
                tracked.tide = Some(group);
            }
        }
    }

    /// How much more the processes of a cgroup had, together, since the tick began.
    pub fn tide(&self, group: usize) -> Option<(u64, u64)> {
        self.tides.get(group)?.rise()
    }

    /// How high a process was since the tick began, and what with. After [`Spaces::arenas`].
    pub fn estimate(&self, pid: u32) -> Estimate {
        let Some(tracked) = self.tracked.get(&pid) else { return Estimate::default() };
        let rows = match tracked.crest.kept(&tracked.space) {
            Some(kept) => {
                let regions: Vec<Region> = kept.regions().collect();
                arenas::rows(kept, &attribute(&tracked.evidence, &regions), &tracked.split)
            }
            None => tracked.rows.clone(),
        };
        Estimate { rise: tracked.crest.rise(), rows }
    }

    /// Events were lost: nothing is certain any more.
    pub fn mark_stale(&mut self) {
        self.tracked.values_mut().for_each(|tracked| tracked.space.mark_stale(Stale::Loss));
    }

    /// The processes whose totals are to be asked for though no event was about them.
    pub fn want_totals(&mut self) -> Vec<u32> {
        let wanting =
            self.tracked.iter_mut().filter_map(|(pid, tracked)| tracked.wants_totals().then_some(*pid));
        wanting.collect()
    }

    /// The kernel's total of a process came: the estimates since its page tables were read are closed to it.
    pub fn close(&mut self, pid: u32, resident: Resident) {
        let Some(tracked) = self.tracked.get_mut(&pid) else { return };
        let (was, is) = tracked.close(resident);
        if let Some(tide) = tracked.tide.and_then(|tide| self.tides.get_mut(tide)) {
            tide.close(was, is);
        }
    }

    /// The processes whose mappings are not known by calls alone: these are read at once, without their pages.
    pub fn astray(&mut self) -> Vec<Request> {
        let Self { tracked, under_way, .. } = self;
        let astray = tracked.iter_mut().filter(|(_, tracked)| tracked.is_astray());
        astray
            .filter(|(pid, _)| under_way.insert(**pid))
            .map(|(pid, tracked)| {
                (tracked.kept, tracked.is_by_pages) = (Some(Vec::new()), false);
                Request { pid: *pid, depth: Depth::Regions }
            })
            .collect()
    }

    /// The processes to scan next, what tells most first. `rss` gives each process and its resident bytes.
    pub fn due(&mut self, rss: impl Iterator<Item = (u32, u64)>, now: u64) -> Vec<Request> {
        let mut due: Vec<(u64, u64, u32)> = rss
            .filter(|(pid, rss)| *rss >= SMALL && !self.under_way.contains(pid))
            .filter_map(|(pid, rss)| {
                let worth = self.tracked.get(&pid).map_or(rss, |tracked| tracked.worth(rss));
                (worth > 0).then_some((worth, rss, pid))
            })
            .collect();
        for tracked in self.tracked.values_mut() {
            tracked.is_busy = false;
            tracked.stacks.give_up(now);
        }
        due.sort_unstable_by(|a, b| b.cmp(a));
        due.truncate(UNDER_WAY.saturating_sub(self.under_way.len()));
        due.into_iter().map(|(_, rss, pid)| self.expect(pid, rss, now)).collect()
    }

    /// A scan of this process is asked for: it will come.
    pub fn expect(&mut self, pid: u32, rss: u64, now: u64) -> Request {
        self.under_way.insert(pid);
        let geometry = self.geometry;
        let tracked = self.tracked.entry(pid).or_insert_with(|| Tracked::new(geometry));
        (tracked.kept, tracked.rss_at_scan) = (Some(Vec::new()), rss);
        Request { pid, depth: tracked.depth(now) }
    }

    /// The same of one whose group is near its limit: before all others.
    pub fn arm(&mut self, pid: u32, rss: u64, now: u64) -> Vec<Order> {
        let read = (!self.under_way.contains(&pid)).then(|| Order::Read(self.expect(pid, rss, now)));
        read.into_iter().chain([Order::Hurry(pid)]).collect()
    }

    /// Takes a scan: what page tables said then, and what happened since.
    pub fn take(&mut self, scan: Scan) {
        self.under_way.remove(&scan.pid);
        if let Some(tracked) = self.tracked.get_mut(&scan.pid) {
            tracked.take(scan);
        }
    }

    /// What to walk for a fault that was applied just now; `None` when its stack does not matter.
    pub fn job(&mut self, fault: &Fault, copy: StackCopy) -> Option<Job> {
        let pid = fault.header.tgid;
        let pid = self.guests.get(&pid).copied().unwrap_or(pid);
        let tracked = self.tracked.get_mut(&pid)?;
        let key = Key::of(pid, fault);
        if !tracked.stacks.waits_for(key) {
            return None;
        }
        let StackCopy { registers, base, bytes, .. } = copy;
        // Before the first scan nobody knows what the program itself has mapped.
        let is_known = tracked.scanned_at.is_some();
        let modules = if is_known { tracked.stacks.modules(&tracked.space) } else { None };
        Some(Job { key, copy: Copy { registers, base, bytes }, modules })
    }

    /// Takes what came of a walk.
    pub fn unwound(&mut self, unwound: &Unwound) {
        if let Some(tracked) = self.tracked.get_mut(&unwound.key.pid) {
            tracked.stacks.take(unwound);
            tracked.is_touched = true;
        }
    }

    /// The arenas of a process whose resident memory is `total`; `None` for one that was never scanned.
    pub fn arenas(&mut self, pid: u32, total: Bytes, now: u64) -> Option<Arenas<'_>> {
        let tracked = self.tracked.get_mut(&pid).filter(|tracked| tracked.scanned_at.is_some())?;
        tracked.own();
        if std::mem::take(&mut tracked.is_touched) {
            tracked.rows = arenas::rows(&tracked.space, &tracked.owned, &tracked.split);
        }
        for Row { allocator, kind, resident, .. } in &tracked.rows {
            tracked.gauges.entry((allocator, kind)).or_default().read(now, resident.0);
        }
        Some(Arenas {
            rows: &tracked.rows,
            closing: tracked.space.totals().close(total),
            stale: tracked.space.stale(),
            scanned_at: tracked.scanned_at,
            sampled: tracked.sampled,
            gauges: &tracked.gauges,
            stacks: &tracked.stacks.growth,
            space: &tracked.space,
            reading: tracked.reading.as_ref(),
        })
    }

    /// How many processes are followed, and the bytes that this takes.
    pub fn footprint(&self) -> (usize, Bytes) {
        let bytes = self.tracked.values().map(|tracked| tracked.space.footprint().0).sum();
        (self.tracked.len(), Bytes(bytes))
    }
}

#[cfg(test)]
#[path = "spaces_tests.rs"]
mod tests;
