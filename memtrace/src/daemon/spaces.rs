//! The address spaces of the processes that move, and whose memory is in them.
//!
//! Input: events, scans, totals. Output: arenas by process, and which processes to scan next. Pure: the scanner reads.

use std::collections::{HashMap, HashSet};

use crate::{
    allocator::{Owned, attribute, counters::Reading},
    daemon::scanner::Scan,
    ingest::decode::Event,
    mm::{
        address_space::{AddressSpace, Geometry, Stale},
        gauge::Gauge,
        growth::StackGrowth,
        region::Region,
        residency::Measured,
    },
    units::Bytes,
};

use super::{
    arenas::{self, Arenas, Row},
    peaks::{Crest, Tide, ticks::Estimate},
};

/// A process whose RSS is smaller is not worth a scan.
const SMALL: u64 = 1 << 20;
/// What has to move before the page tables of a busy process are read again: this, or one percent of it. Those of one
/// that has come to rest are read once more whatever moved.
const MOVED: u64 = 4 << 20;
/// Events that are kept while a scan is under way; more, and its result is stale at once.
const MOST_KEPT: usize = 10_000;
/// Scans that are asked for at most: the scanner takes them one by one, and what moves most should go first.
const UNDER_WAY: usize = 64;

/// What is followed of a process.
struct Tracked {
    space: AddressSpace,
    evidence: std::sync::Arc<crate::allocator::evidence::ProcessEvidence>,
    owned: Vec<Owned>,
    /// What its allocators' counters said when they were read last.
    reading: Option<Reading>,
    /// Regions changed, so their owners are to be told anew.
    is_changed: bool,
    rows: Vec<Row>,
    /// Anything happened, so the rows are to be summed up anew.
    is_touched: bool,
    stacks: StackGrowth,
    gauges: HashMap<(&'static str, &'static str), Gauge>,
    /// The kernel's total when the last scan was asked for. Never the sum of a scan: smaps counts pages that the total
    /// does not (those of a ring buffer), and such a process would be read for ever.
    rss_at_scan: u64,
    scanned_at: Option<u64>,
    /// The last scan gave nothing: the process is gone, or not ours to read.
    is_unreadable: bool,
    /// Whether anything happened since the scans were last chosen.
    is_busy: bool,
    /// Events since a scan was asked for.
    kept: Option<Vec<Event>>,
    crest: Crest,
    /// Of its cgroup.
    tide: Option<usize>,
}

/// All address spaces.
pub struct Spaces {
    geometry: Geometry,
    tracked: HashMap<u32, Tracked>,
    under_way: HashSet<u32>,
    /// Processes that use another's address space (`CLONE_VM` without being its thread), until they end or replace it.
    guests: HashMap<u32, u32>,
    tides: Vec<Tide>,
}

impl Tracked {
    fn new(geometry: Geometry) -> Self {
        Self {
            space: AddressSpace::new(geometry),
            evidence: std::sync::Arc::default(),
            owned: Vec::new(),
            reading: None,
            is_changed: true,
            rows: Vec::new(),
            is_touched: true,
            stacks: StackGrowth::default(),
            gauges: HashMap::new(),
            rss_at_scan: 0,
            scanned_at: None,
            is_unreadable: false,
            is_busy: true,
            kept: None,
            crest: Crest::default(),
            tide: None,
        }
    }

    /// What its regions hold.
    const fn resident(&self) -> u64 {
        self.space.totals().resident.0
    }

    fn apply(&mut self, event: &Event) {
        // The ring is read some time after it was written: what the last scan has seen is not done again.
        if self.scanned_at.is_some_and(|at| event.header().ktime <= at) {
            return;
        }
        (self.is_touched, self.is_busy) = (true, true);
        self.crest.before(event, &self.space);
        match event {
            Event::Fault(fault) => {
                let brought = self.space.fault(fault.addr, fault.period);
                let stack = fault.stack.get(..fault.stack_len as usize).unwrap_or_default();
                self.stacks.add(fault.header.ktime, stack, brought.0);
            }
            _ => {
                self.space.apply(event);
                self.is_changed = true;
            }
        }
        self.crest.after(event, &self.space);
        if let Some(kept) = &mut self.kept {
            if kept.len() >= MOST_KEPT {
                self.kept = None;
                self.space.mark_stale(Stale::Budget);
            } else {
                kept.push(event.clone());
            }
        }
    }

    /// How much a scan would tell, in bytes; 0 for a process that needs none.
    fn worth(&self, rss: u64) -> u64 {
        let moved = self.space.moved().0.max(rss.abs_diff(self.rss_at_scan));
        match (self.scanned_at, self.space.stale()) {
            (_, _) if self.is_unreadable && moved < MOVED.max(rss / 100) => 0,
            (None, _) => rss,
            (Some(_), Some(_)) => moved.max(MOVED),
            (Some(_), None) if moved >= MOVED.max(rss / 100) || !self.is_busy => moved,
            (Some(_), None) => 0,
        }
    }
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
                // The mark of the life before is not this one's.
                (tracked.tide, tracked.scanned_at) = (tide, None);
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
                arenas::rows(kept, &attribute(&tracked.evidence, &regions))
            }
            None => tracked.rows.clone(),
        };
        Estimate { rise: tracked.crest.rise(), rows }
    }

    /// Events were lost: nothing is certain any more.
    pub fn mark_stale(&mut self) {
        self.tracked.values_mut().for_each(|tracked| tracked.space.mark_stale(Stale::Loss));
    }

    /// The processes to scan next, what tells most first. `rss` gives each process and its resident bytes.
    pub fn due(&mut self, rss: impl Iterator<Item = (u32, u64)>) -> Vec<u32> {
        let mut due: Vec<(u64, u64, u32)> = rss
            .filter(|(pid, rss)| *rss >= SMALL && !self.under_way.contains(pid))
            .filter_map(|(pid, rss)| {
                let worth = self.tracked.get(&pid).map_or(rss, |tracked| tracked.worth(rss));
                (worth > 0).then_some((worth, rss, pid))
            })
            .collect();
        self.tracked.values_mut().for_each(|tracked| tracked.is_busy = false);
        due.sort_unstable_by(|a, b| b.cmp(a));
        due.truncate(UNDER_WAY.saturating_sub(self.under_way.len()));
        let geometry = self.geometry;
        for (_, rss, pid) in &due {
            self.under_way.insert(*pid);
            let tracked = self.tracked.entry(*pid).or_insert_with(|| Tracked::new(geometry));
            (tracked.kept, tracked.rss_at_scan) = (Some(Vec::new()), *rss);
        }
        due.into_iter().map(|(.., pid)| pid).collect()
    }

    /// Takes a scan: what page tables said then, and what happened since.
    pub fn take(&mut self, scan: Scan) {
        let Scan { pid, at, mappings, evidence, reading, took: _ } = scan;
        self.under_way.remove(&pid);
        let Some(tracked) = self.tracked.get_mut(&pid) else { return };
        let kept = tracked.kept.take();
        if mappings.is_empty() {
            // It stays as it was, and is not asked for again before it moves.
            tracked.is_unreadable = true;
            return;
        }
        tracked.is_unreadable = false;
        let was = tracked.resident();
        let regions: Vec<Region> = mappings.iter().map(|mapping| mapping.region.clone()).collect();
        tracked.space.resync(&regions);
        for mapping in &mappings {
            if let Some(measured) = Measured::of(&mapping.region, &mapping.usage) {
                tracked.space.set_truth(mapping.region.start, mapping.region.end, &measured, at);
            }
        }
        tracked.crest.correct(was, tracked.resident());
        tracked.space.settle();
        tracked.scanned_at = Some(at);
        tracked.evidence = evidence;
        if reading.is_some() {
            tracked.reading = reading;
        }
        (tracked.is_changed, tracked.is_touched) = (true, true);
        match kept {
            Some(events) => {
                for event in events.iter().filter(|event| event.header().ktime > at) {
                    // Growth by stack was counted when the event came.
                    tracked.space.apply(event);
                }
            }
            None => tracked.space.mark_stale(Stale::Budget),
        }
    }

    /// The arenas of a process whose resident memory is `total`; `None` for one that was never scanned.
    pub fn arenas(&mut self, pid: u32, total: Bytes, now: u64) -> Option<Arenas<'_>> {
        let tracked = self.tracked.get_mut(&pid).filter(|tracked| tracked.scanned_at.is_some())?;
        if std::mem::take(&mut tracked.is_changed) {
            let regions: Vec<Region> = tracked.space.regions().collect();
            tracked.owned = attribute(&tracked.evidence, &regions);
        }
        if std::mem::take(&mut tracked.is_touched) {
            tracked.rows = arenas::rows(&tracked.space, &tracked.owned);
        }
        for Row { allocator, kind, resident, .. } in &tracked.rows {
            tracked.gauges.entry((allocator, kind)).or_default().read(now, resident.0);
        }
        Some(Arenas {
            rows: &tracked.rows,
            closing: tracked.space.totals().close(total),
            stale: tracked.space.stale(),
            scanned_at: tracked.scanned_at,
            gauges: &tracked.gauges,
            stacks: &tracked.stacks,
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
