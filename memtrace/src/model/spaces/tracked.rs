//! What is followed of one process: its space, whose memory is in it, and how much a scan would tell.
//!
//! Input: events and scans of this process. Output: what [`Spaces`](super::Spaces) shows and asks for. Pure.

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
        peaks::ProcessPeak,
        scan::Depth,
    },
};

/// A process whose RSS is smaller is not worth a scan.
pub(super) const SMALL: u64 = 1 << 20;
/// What has to move before the page tables of a busy process are read again: this, or one percent of it if that is less.
/// Those of one that has come to rest are read once more whatever moved.
const MOVED: u64 = 4 << 20;
/// How long what only smaps tells may be behind, in ns: where pages were freed lazily or may be shared, and elsewhere.
const DETAILS: u64 = 10_000_000_000;
const OLD: u64 = 60_000_000_000;

/// What is followed of a process.
pub(super) struct Tracked {
    pub(super) space: AddressSpace,
    pub(super) attribution: Attribution,
    pub(super) scan: ScanState,
    pub(super) totals: Totals,
    pub(super) dirty: Dirty,
    pub(super) shown: Shown,
    pub(super) stacks: Stacks,
    pub(super) peak: ProcessPeak,
    /// The number of its cgroup, whose peak it is part of.
    pub(super) group: Option<usize>,
    /// When its program began, ns since boot; 0 for one that was there before.
    pub(super) born: u64,
}

/// Whose memory is in it.
pub(super) struct Attribution {
    pub(super) evidence: Arc<ProcessEvidence>,
    pub(super) owned: Vec<Owned>,
    /// What the ranges of regions with several owners were measured to hold.
    pub(super) split: Split,
    /// What its allocators' counters said when they were read last.
    pub(super) reading: Option<Reading>,
}

/// What has to be made anew because something happened.
pub(super) struct Dirty {
    /// Regions changed, so their owners.
    pub(super) owners: bool,
    /// Regions changed since its programs and memory were looked at.
    pub(super) evidence: bool,
    /// Anything happened, so the rows.
    pub(super) rows: bool,
    /// Anything happened since the scans were last chosen.
    pub(super) is_busy: bool,
    /// It is on the list of those that something happened to since the last tick.
    pub(super) is_listed: bool,
}

/// What a snapshot shows of it.
pub(super) struct Shown {
    pub(super) rows: Vec<Row>,
    /// Resident bytes of each row over time; few, so that a search is short.
    pub(super) gauges: Gauges,
    /// When the gauges were read last.
    pub(super) gauged_at: u64,
    /// Until when the rows and gauges stay as they are, ns since boot; 0 when anything happened since.
    pub(super) stands_until: u64,
    /// Bytes that its space took at the last tick.
    pub(super) footprint: u64,
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
            },
            stacks: Stacks::default(),
            peak: ProcessPeak::default(),
            group: None,
            born: 0,
        }
    }

    /// A child's, which begins as a copy of this one's.
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

    /// What its regions hold.
    pub(super) const fn resident(&self) -> u64 {
        self.space.totals().resident.0
    }

    /// Something happened: its rows are to be summed up anew.
    pub(super) fn touch(&mut self) {
        (self.dirty.rows, self.shown.stands_until) = (true, 0);
    }

    /// Nothing of it is certain any more.
    pub(super) fn mark_stale(&mut self, why: Stale) {
        self.space.mark_stale(why);
        self.touch();
    }

    pub(super) fn apply(&mut self, event: &Event) {
        // The ring is read some time after it was written: what the last scan has seen is not done again.
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
        if !self.scan.pending.keep(event, is_about_pages) {
            self.space.mark_stale(Stale::Budget);
        }
    }

    /// Looks at it once a tick: how much a scan would tell, and whether that may be more at the next tick though nothing
    /// happens.
    pub(super) fn look(&mut self, rss: u64, now: u64) -> (u64, bool) {
        self.totals.rss = rss;
        let worth = self.worth(rss);
        let was_busy = std::mem::take(&mut self.dirty.is_busy);
        if self.stacks.give_up(now) {
            self.touch();
        }
        (worth, was_busy || self.dirty.owners || self.stacks.are_waiting())
    }

    /// How much a scan would tell, in bytes; 0 for a process that needs none.
    fn worth(&self, rss: u64) -> u64 {
        let drift = self.gap(rss).abs_diff(self.totals.gap).max(self.totals.closed);
        let moved = self.space.moved().0.max(rss.abs_diff(self.scan.rss_at_request)).max(drift);
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
        let unmeasured = self.unmeasured();
        let is_unclear = unmeasured >= last.unmeasured.saturating_add(much);
        let rests = if self.dirty.is_busy { 0 } else { moved.max(u64::from(last.is_smeared)) };
        rests.max(if is_unclear { unmeasured } else { 0 })
    }

    /// How far the kernel's total is above the sum of the regions. Not 0 by itself: smaps counts pages that the total does
    /// not (those of a ring buffer), but it does not change by itself either.
    pub(super) fn gap(&self, rss: u64) -> i64 {
        let sum = i64::try_from(self.resident()).unwrap_or(i64::MAX);
        i64::try_from(rss).unwrap_or(i64::MAX).saturating_sub(sum)
    }

    /// Bytes that are shared out among several owners by length, because nobody measured them.
    pub(super) fn unmeasured(&self) -> u64 {
        if self.dirty.owners {
            return 0;
        }
        arenas::unmeasured(&self.space, &self.attribution.owned, &self.attribution.split)
    }

    /// Tells the owners anew, if anything changed.
    pub(super) fn own(&mut self) {
        if std::mem::take(&mut self.dirty.owners) {
            let regions: Vec<Region> = self.space.regions().collect();
            self.attribution.owned = attribute(&self.attribution.evidence, &regions);
        }
    }

    /// What to read: no more than is needed. What happens meanwhile is kept.
    pub(super) fn request(&mut self, now: u64) -> Depth {
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
        let regions: Vec<Region> = self.space.regions().collect();
        let part = |owned: &Owned| {
            let region = regions.get(owned.region)?;
            Some(Region { start: owned.start, end: owned.end, ..region.clone() })
        };
        let parts = self.attribution.owned.iter().filter_map(part).collect();
        let is_explored = !std::mem::take(&mut self.dirty.evidence);
        self.scan.pending = Pending::Pages(Vec::new());
        Depth::Pages { parts, regions, evidence: is_explored.then(|| Arc::clone(&self.attribution.evidence)) }
    }
}

/// What is worth a look at a process of this size.
pub(super) fn much(rss: u64) -> u64 {
    MOVED.min(rss / 100).max(SMALL / 2)
}

/// Whether it changes what is resident and no region.
pub(super) const fn is_about_pages(event: &Event) -> bool {
    matches!(event, Event::Space(SpaceEvent::Fault(_) | SpaceEvent::Madvise(_)))
}
