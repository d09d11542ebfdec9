//! What is followed of one process: its space, whose memory is in it, and how much a scan would tell.
//!
//! Input: events and scans of this process. Output: what [`Spaces`](super::Spaces) shows and asks for. Pure.

use std::sync::Arc;

use super::stacks::Stacks;
use crate::{
    allocator::{Owned, attribute, counters::Reading, evidence::ProcessEvidence},
    ingest::decode::{Event, SpaceEvent},
    mm::{
        address_space::{AddressSpace, Geometry, Kinds, Stale},
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
/// Events that are kept while a scan is under way; more, and its result is stale at once.
const MOST_KEPT: usize = 10_000;
/// How long what only smaps tells may be behind, in ns: where pages were freed lazily or may be shared, and elsewhere.
const DETAILS: u64 = 10_000_000_000;
const OLD: u64 = 60_000_000_000;

/// What is followed of a process.
pub(super) struct Tracked {
    pub(super) space: AddressSpace,
    pub(super) evidence: Arc<ProcessEvidence>,
    pub(super) owned: Vec<Owned>,
    /// What its allocators' counters said when they were read last.
    pub(super) reading: Option<Reading>,
    /// Regions changed, so their owners are to be told anew.
    pub(super) is_changed: bool,
    pub(super) rows: Vec<Row>,
    /// Anything happened, so the rows are to be summed up anew.
    pub(super) is_touched: bool,
    /// Until when what is shown of it stands, ns since boot; 0 when anything happened since.
    pub(super) stands_until: u64,
    /// When the gauges were read last.
    pub(super) gauged_at: u64,
    /// Bytes that its space took at the last tick.
    pub(super) footprint: u64,
    /// Among those that something happened to since the last tick.
    pub(super) is_listed: bool,
    /// The kernel's total, when a scan was last considered.
    pub(super) rss: u64,
    pub(super) stacks: Stacks,
    /// Resident bytes of each row over time; few, so that a search is short.
    pub(super) gauges: Gauges,
    /// The kernel's total when the last scan was asked for. Never the sum of a scan: smaps counts pages that the total
    /// does not (those of a ring buffer), and such a process would be read for ever.
    pub(super) rss_at_scan: u64,
    pub(super) scanned_at: Option<u64>,
    /// Pages that the faults sampled since then stand for.
    pub(super) sampled: u64,
    /// The last scan gave nothing: the process is gone, or not ours to read.
    pub(super) is_unreadable: bool,
    /// Whether anything happened since the scans were last chosen.
    pub(super) is_busy: bool,
    /// Events since a scan was asked for.
    pub(super) kept: Option<Vec<Event>>,
    pub(super) peak: ProcessPeak,
    /// Of its cgroup.
    pub(super) group_peak: Option<usize>,
    /// What the ranges of regions with several owners were measured to hold.
    pub(super) split: Split,
    /// When smaps was read last.
    pub(super) detailed_at: u64,
    /// Something happened while the page tables were read: they are read again when it has come to rest.
    pub(super) is_smeared: bool,
    /// When the last scan began.
    pub(super) begun_at: u64,
    /// Regions changed since its programs and memory were looked at.
    pub(super) is_unexplored: bool,
    /// Pages were found where no region is.
    pub(super) is_incomplete: bool,
    /// How far the kernel's total was above the regions' at the last scan.
    pub(super) gap: i64,
    /// What that scan could not tell the owners of.
    pub(super) open_left: u64,
    /// What was asked for are pages alone.
    pub(super) is_by_pages: bool,
    /// How far the kernel's totals were above the regions' at the last scan, by kind; `None` before it, and when they were
    /// not asked then.
    pub(super) apart: Option<Kinds>,
    /// How much of what regions hold the kernel's totals told, at the last tick.
    pub(super) closed: u64,
    /// Pages of files and shared memory that no region explained when its mappings were read last.
    pub(super) left_over: i64,
    /// The kernel's totals came, and the regions were not to be trusted: they are asked for again.
    pub(super) is_open: bool,
    /// When its mappings were read last without their pages: their calls are not done again.
    pub(super) mapped_at: u64,
    /// Mappings that no call told of were found, and their pages were not read yet.
    pub(super) is_unsure: bool,
    /// Whether it may grow by much without a sample; `None` when that is to be told anew.
    pub(super) may_grow_unseen: Option<bool>,
    /// When its program began, ns since boot; 0 for one that was there before.
    pub(super) born: u64,
}

impl Tracked {
    pub(super) fn new(geometry: Geometry) -> Self {
        Self {
            space: AddressSpace::new(geometry),
            evidence: Arc::default(),
            owned: Vec::new(),
            reading: None,
            is_changed: true,
            rows: Vec::new(),
            is_touched: true,
            stands_until: 0,
            gauged_at: 0,
            footprint: 0,
            is_listed: false,
            rss: 0,
            stacks: Stacks::default(),
            gauges: Gauges::new(),
            rss_at_scan: 0,
            scanned_at: None,
            sampled: 0,
            is_unreadable: false,
            is_busy: true,
            kept: None,
            peak: ProcessPeak::default(),
            group_peak: None,
            split: Split::new(),
            detailed_at: 0,
            is_smeared: false,
            begun_at: 0,
            is_unexplored: true,
            is_incomplete: false,
            gap: 0,
            open_left: 0,
            is_by_pages: false,
            apart: None,
            closed: 0,
            left_over: 0,
            is_open: false,
            mapped_at: 0,
            is_unsure: false,
            may_grow_unseen: None,
            born: 0,
        }
    }

    /// What its regions hold.
    pub(super) const fn resident(&self) -> u64 {
        self.space.totals().resident.0
    }

    /// Something happened: its rows are to be summed up anew.
    pub(super) fn touch(&mut self) {
        (self.is_touched, self.stands_until) = (true, 0);
    }

    /// What is certain of it no more.
    pub(super) fn mark_stale(&mut self, why: Stale) {
        self.space.mark_stale(why);
        self.touch();
    }

    pub(super) fn apply(&mut self, event: &Event) {
        // The ring is read some time after it was written: what the last scan has seen is not done again. One of pages has
        // seen no calls.
        let ktime = event.header().ktime;
        let is_about_pages = is_about_pages(event);
        let is_seen = ktime <= self.detailed_at
            || (is_about_pages && self.scanned_at.is_some_and(|at| ktime <= at))
            || (!is_about_pages && ktime <= self.mapped_at);
        if is_seen {
            // It came after the scan that was under way.
            if ktime >= self.begun_at {
                self.is_smeared = true;
                self.stands_until = 0;
            }
            return;
        }
        self.touch();
        self.is_busy = true;
        self.peak.before(event, &self.space);
        match event {
            Event::Space(SpaceEvent::Fault(fault)) => {
                let brought = self.space.fault(fault.addr, fault.period);
                self.stacks.fault(fault, brought.0);
                self.sampled = self.sampled.saturating_add(fault.period);
            }
            _ => {
                self.space.apply(event);
                self.stacks.changed(event);
                (self.is_changed, self.is_unexplored, self.may_grow_unseen) = (true, true, None);
            }
        }
        self.peak.after(event, &self.space);
        if let Some(kept) = &mut self.kept {
            if self.is_by_pages && !is_about_pages {
                // Done, and what was read does not undo it.
            } else if kept.len() >= MOST_KEPT {
                self.kept = None;
                self.space.mark_stale(Stale::Budget);
            } else {
                kept.push(event.clone());
            }
        }
    }

    /// Looks at it once a tick: how much a scan would tell, and whether that may be more at the next tick though nothing
    /// happens.
    pub(super) fn look(&mut self, rss: u64, now: u64) -> (u64, bool) {
        self.rss = rss;
        let worth = self.worth(rss);
        let was_busy = std::mem::take(&mut self.is_busy);
        if self.stacks.give_up(now) {
            self.touch();
        }
        (worth, was_busy || self.is_changed || self.stacks.are_waiting())
    }

    /// How much a scan would tell, in bytes; 0 for a process that needs none.
    fn worth(&self, rss: u64) -> u64 {
        let drift = self.gap(rss).abs_diff(self.gap).max(self.closed);
        let moved = self.space.moved().0.max(rss.abs_diff(self.rss_at_scan)).max(drift);
        let much = much(rss);
        match (self.scanned_at, self.space.stale()) {
            (_, _) if self.is_unreadable && moved < MOVED.max(rss / 100) => 0,
            (None, _) => rss,
            (Some(_), stale) if stale.is_some() || self.is_unsure => moved.max(MOVED),
            (Some(_), _) if moved >= much => moved,
            (Some(_), _) => {
                let open = self.open();
                let is_open = open >= self.open_left.saturating_add(much);
                let rests = if self.is_busy { 0 } else { moved.max(u64::from(self.is_smeared)) };
                rests.max(if is_open { open } else { 0 })
            }
        }
    }

    /// How far the kernel's total is above the sum of the regions. Not 0 by itself: smaps counts pages that the total does
    /// not (those of a ring buffer), but it does not change by itself either.
    pub(super) fn gap(&self, rss: u64) -> i64 {
        let sum = i64::try_from(self.resident()).unwrap_or(i64::MAX);
        i64::try_from(rss).unwrap_or(i64::MAX).saturating_sub(sum)
    }

    /// Bytes whose owners are told by length alone, as long as that is a guess.
    pub(super) fn open(&self) -> u64 {
        if self.is_changed { 0 } else { arenas::unmeasured(&self.space, &self.owned, &self.split) }
    }

    /// Tells the owners anew, if anything changed.
    pub(super) fn own(&mut self) {
        if std::mem::take(&mut self.is_changed) {
            let regions: Vec<Region> = self.space.regions().collect();
            self.owned = attribute(&self.evidence, &regions);
        }
    }

    /// What to read: no more than is needed.
    pub(super) fn depth(&mut self, now: u64) -> Depth {
        let age = now.saturating_sub(self.detailed_at);
        let is_old =
            age >= OLD || (age >= DETAILS && (self.space.totals().lazy_free.0 > 0 || self.space.lacks_pss()));
        let is_unknown =
            self.scanned_at.is_none() || self.space.stale().is_some() || self.is_incomplete || self.is_unsure;
        self.is_by_pages = false;
        if is_unknown || is_old || self.space.lacks_names() {
            return Depth::Mappings;
        }
        self.own();
        let regions: Vec<Region> = self.space.regions().collect();
        let part = |owned: &Owned| {
            let region = regions.get(owned.region)?;
            Some(Region { start: owned.start, end: owned.end, ..region.clone() })
        };
        let parts = self.owned.iter().filter_map(part).collect();
        let is_unexplored = std::mem::take(&mut self.is_unexplored);
        self.is_by_pages = true;
        Depth::Pages { parts, regions, evidence: (!is_unexplored).then(|| Arc::clone(&self.evidence)) }
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
