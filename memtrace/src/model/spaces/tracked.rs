//! The tracked state of one process: its space, the owners of its memory, and the value of a scan.
//!
//! Input: events and scans of this process. Output: what [`Spaces`](super::Spaces) shows and requests. Pure.

use std::sync::Arc;

use super::{
    scan_state::{Doubt, Pending, ScanState},
    stacks::Stacks,
    totals::Totals,
};
use crate::{
    allocator::{Owned, attribute, counters::Reading, evidence::ProcessEvidence},
    ingest::decode::{Event, SpaceEvent},
    mm::{
        address_space::{AddressSpace, Geometry, Stale},
        region::Region,
    },
    model::{
        arenas::{self, Gauges, Row, Split},
        budget,
        peaks::ProcessPeak,
        scan::Depth,
    },
};

/// A process with a smaller RSS is not worth a scan.
pub(super) const SMALL: u64 = 1 << 20;
/// The change after which the page tables of a busy process are read again: this, or one percent of the process if that
/// is less. Those of a process that became quiet are read once more after any change.
const MOVED: u64 = 4 << 20;
/// The greatest age of facts that only smaps gives, in ns: where pages were lazily freed or may be shared, and
/// elsewhere.
const DETAILS: u64 = 10_000_000_000;
const OLD: u64 = 60_000_000_000;
/// Time until a process that nobody could read is tried again, in ns.
const AGAIN: u64 = 60_000_000_000;
/// Time until a process is read again whose evidence was not gathered to the end, in ns.
const UNFINISHED: u64 = 10_000_000_000;

/// Bytes of a row and of its gauge.
const ROW: usize = size_of::<Row>() + 1024;

/// The tracked state of a process.
pub(super) struct Tracked {
    pub(super) space: AddressSpace,
    pub(super) attribution: Attribution,
    pub(super) scan: ScanState,
    pub(super) totals: Totals,
    pub(super) dirty: Dirty,
    pub(super) shown: Shown,
    pub(super) stacks: Stacks,
    pub(super) peak: ProcessPeak,
    /// The number of its cgroup, to whose peak it contributes.
    pub(super) group: Option<usize>,
    /// When its program started, ns since boot; 0 if that was before the tracer.
    pub(super) born: u64,
    /// How often it was given up for lack of memory.
    pub(super) tries: u32,
}

/// The owners of its memory.
pub(super) struct Attribution {
    pub(super) evidence: Arc<ProcessEvidence>,
    pub(super) owned: Vec<Owned>,
    /// The measured bytes of the ranges of regions with several owners.
    pub(super) split: Split,
    /// The last reading of its allocators' counters.
    pub(super) reading: Option<Reading>,
}

impl Attribution {
    /// Whether the evidence was not gathered to the end.
    fn is_unfinished(&self) -> bool {
        self.evidence.unfinished.is_some()
    }
}

/// The parts that must be computed again after events.
pub(super) struct Dirty {
    /// Regions changed, so their owners are out of date.
    pub(super) owners: bool,
    /// Regions changed since the evidence was collected.
    pub(super) evidence: bool,
    /// An event occurred, so the rows are out of date.
    pub(super) rows: bool,
    /// An event occurred since the scans were last chosen.
    pub(super) is_busy: bool,
    /// It is on the list of processes with events since the last tick.
    pub(super) is_listed: bool,
}

/// The part that a snapshot shows.
pub(super) struct Shown {
    pub(super) rows: Vec<Row>,
    /// Resident bytes of each row over time; only a few, so a linear search is fast.
    pub(super) gauges: Gauges,
    /// When the gauges were last read.
    pub(super) gauged_at: u64,
    /// Until when the rows and gauges are valid, ns since boot; 0 after an event.
    pub(super) stands_until: u64,
    /// Memory that it used when that was last computed, in bytes; its regions then, and those of its kept peak.
    pub(super) footprint: u64,
    pub(super) regions: usize,
    pub(super) kept: usize,
}

impl Tracked {
    pub(super) fn new(geometry: Geometry) -> Self {
        Self {
            space: AddressSpace::new(geometry),
            attribution: Attribution {
                evidence: Arc::default(),
                owned: Vec::new(),
                split: Split::new(),
                reading: None,
            },
            scan: ScanState::default(),
            totals: Totals::default(),
            dirty: Dirty { owners: true, evidence: true, rows: true, is_busy: true, is_listed: false },
            shown: Shown {
                rows: Vec::new(),
                gauges: Gauges::new(),
                gauged_at: 0,
                stands_until: 0,
                footprint: 0,
                regions: 0,
                kept: 0,
            },
            stacks: Stacks::default(),
            peak: ProcessPeak::default(),
            group: None,
            born: 0,
            tries: 0,
        }
    }

    /// The state of a forked child, which begins as a copy.
    pub(super) fn fork(&mut self, geometry: Geometry) -> Self {
        let space = self.space.fork();
        let mut child = Self::new(geometry);
        child.peak = ProcessPeak::new(&space);
        child.space = space;
        child.attribution.evidence = Arc::clone(&self.attribution.evidence);
        child.scan = self.scan.fork();
        child.group = self.group;
        child
    }

    /// Resident bytes of its regions.
    pub(super) const fn resident(&self) -> u64 {
        self.space.totals().resident.0
    }

    /// Marks its rows as out of date, because of an event.
    pub(super) fn touch(&mut self) {
        (self.dirty.rows, self.shown.stands_until) = (true, 0);
    }

    /// Marks it as stale.
    pub(super) fn mark_stale(&mut self, why: Stale) {
        self.space.mark_stale(why);
        self.touch();
    }

    /// Bytes of memory that it uses, from counts. Events that wait for a scan have their own share of the budget.
    pub(super) fn footprint(&self) -> u64 {
        let Attribution { evidence, owned, split, reading: _ } = &self.attribution;
        // The owners are determined at the next tick.
        let owned = owned.capacity().max(self.space.len()) * size_of::<Owned>();
        let split = split.capacity() / 7 * 8 * (size_of::<((u64, u64), u64)>() + 1);
        let rows = self.shown.rows.len() * ROW;
        let all = (size_of::<Self>() + owned + split + rows) as u64
            + self.space.footprint().0
            + evidence.footprint()
            + self.stacks.footprint()
            + self.peak.footprint();
        // Room for the scan that was requested.
        if self.scan.last.is_none() { all.max(budget::held(self.scan.expected)) } else { all }
    }

    /// Applies an event. If it must be kept for a scan, it takes its bytes from `room`.
    pub(super) fn apply(&mut self, event: &Event, room: &mut u64) {
        // Events are read with a delay: those that the last scan includes are not applied again.
        let ktime = event.header().ktime;
        let is_about_pages = is_about_pages(event);
        if self.scan.has_seen(ktime, is_about_pages) {
            if self.scan.smear(ktime) {
                self.shown.stands_until = 0;
            }
            if let Event::Space(SpaceEvent::Mmap(call)) = event
                && self.space.recall(call)
            {
                self.dirty.owners = true;
                self.touch();
            }
            return;
        }
        self.touch();
        self.dirty.is_busy = true;
        self.peak.before(event, &self.space);
        match event {
            Event::Space(SpaceEvent::Fault(fault)) => {
                let brought = self.space.fault(fault.addr, fault.period);
                self.stacks.fault(fault, brought.0);
                self.scan.sample(fault.period);
            }
            _ => {
                self.space.apply(event);
                self.stacks.changed(event);
                (self.dirty.owners, self.dirty.evidence, self.totals.may_grow_unseen) = (true, true, None);
            }
        }
        self.peak.after(event, &self.space);
        if !self.scan.pending.keep(event, is_about_pages, room) {
            self.space.mark_stale(Stale::Budget);
        }
    }

    /// Called once a tick. Returns the value of a scan, and whether it may rise until the next tick without events.
    pub(super) fn look(&mut self, rss: u64, now: u64) -> (u64, bool) {
        self.totals.rss = rss;
        let worth = self.worth(rss, now);
        let was_busy = std::mem::take(&mut self.dirty.is_busy);
        if self.stacks.give_up(now) {
            self.touch();
        }
        let may_be_more = was_busy || self.dirty.owners || self.stacks.are_waiting();
        (worth, may_be_more || self.scan.not_read.is_some() || self.attribution.is_unfinished())
    }

    /// The value of a scan, in bytes; 0 for a process that needs none.
    fn worth(&self, rss: u64, now: u64) -> u64 {
        let drift = self.gap(rss).abs_diff(self.totals.gap).max(self.totals.closed);
        let moved = self.space.moved().0.max(rss.abs_diff(self.scan.rss_at_request)).max(drift);
        if let Some((_, at)) = self.scan.not_read {
            return if now.saturating_sub(at) < AGAIN { 0 } else { moved.max(MOVED).min(rss) };
        }
        if self.scan.is_unreadable && moved < MOVED.max(rss / 100) {
            return 0;
        }
        let Some(last) = &self.scan.last else { return rss };
        if self.space.stale().is_some() || last.doubt == Doubt::Mappings {
            return moved.max(MOVED);
        }
        let much = much(rss);
        if moved >= much {
            return moved;
        }
        if self.attribution.is_unfinished() && now.saturating_sub(last.at) >= UNFINISHED {
            return moved.max(SMALL);
        }
        let unmeasured = self.unmeasured();
        let is_unclear = unmeasured >= last.unmeasured.saturating_add(much);
        let rests = if self.dirty.is_busy { 0 } else { moved.max(u64::from(last.is_smeared)) };
        rests.max(if is_unclear { unmeasured } else { 0 })
    }

    /// The kernel's total minus the sum of the regions. It may be other than 0 for a correct space, because smaps
    /// counts pages that the total does not (those of a ring buffer), but then it is constant.
    pub(super) fn gap(&self, rss: u64) -> i64 {
        let sum = i64::try_from(self.resident()).unwrap_or(i64::MAX);
        i64::try_from(rss).unwrap_or(i64::MAX).saturating_sub(sum)
    }

    /// Bytes that are divided among several owners by length, because they were not measured.
    pub(super) fn unmeasured(&self) -> u64 {
        if self.dirty.owners {
            return 0;
        }
        arenas::unmeasured(&self.space, &self.attribution.owned, &self.attribution.split)
    }

    /// Determines the owners again if anything changed.
    pub(super) fn own(&mut self) {
        if std::mem::take(&mut self.dirty.owners) {
            let regions: Vec<Region> = self.space.regions().collect();
            self.attribution.owned = attribute(&self.attribution.evidence, &regions);
        }
    }

    /// The least that must be read, if it takes no more than `most` bytes to ask for it. Keeps the events until the scan
    /// arrives.
    pub(super) fn request(&mut self, now: u64, most: u64) -> Depth {
        let needs_details = match &self.scan.last {
            None => true,
            Some(last) => {
                let age = now.saturating_sub(last.detailed_at);
                let moves = self.space.totals().lazy_free.0 > 0 || self.space.lacks_pss();
                last.doubt != Doubt::Nothing || age >= OLD || (age >= DETAILS && moves)
            }
        };
        if needs_details || self.space.stale().is_some() || self.space.lacks_names() {
            self.scan.pending = Pending::Mappings(Vec::new());
            return Depth::Mappings;
        }
        self.own();
        if budget::pages(self.space.len() as u64, self.attribution.owned.len() as u64) > most {
            self.scan.pending = Pending::Mappings(Vec::new());
            return Depth::Mappings;
        }
        let regions: Vec<Region> = self.space.regions().collect();
        let part = |owned: &Owned| {
            let region = regions.get(owned.region)?;
            Some(Region { start: owned.start, end: owned.end, ..region.clone() })
        };
        let parts = self.attribution.owned.iter().filter_map(part).collect();
        let is_explored = !std::mem::take(&mut self.dirty.evidence) && !self.attribution.is_unfinished();
        self.scan.pending = Pending::Pages(Vec::new());
        Depth::Pages { parts, regions, evidence: is_explored.then(|| Arc::clone(&self.attribution.evidence)) }
    }
}

/// The change that is worth a scan of a process of this size.
pub(super) fn much(rss: u64) -> u64 {
    MOVED.min(rss / 100).max(SMALL / 2)
}

/// Whether an event changes resident pages but no region.
pub(super) const fn is_about_pages(event: &Event) -> bool {
    matches!(event, Event::Space(SpaceEvent::Fault(_) | SpaceEvent::Madvise(_)))
}
