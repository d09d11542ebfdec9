//! The state of the scans of a process: the last one and the pending one.
//!
//! Times of scans and events -> whether an event is new, whether a scan is due. Pure.

use memtrace_common::event::fault::Fault;

use crate::{
    ingest::decode::{Event, SpaceEvent},
    model::scan::Over,
    units::Bytes,
};

/// The scans of one process.
#[derive(Default)]
pub(super) struct ScanState {
    /// `None` before the first.
    pub(super) last: Option<LastScan>,
    /// The requested scan that has not arrived yet.
    pub(super) pending: Pending,
    /// The last scan was empty: the process is gone or may not be read.
    pub(super) is_unreadable: bool,
    /// Why nobody could read it, and when that was tried; it is tried again later.
    pub(super) not_read: Option<(String, u64)>,
    /// The kernel's total when the last scan was requested. Never the sum of a scan: smaps counts pages that the total
    /// does not (those of a ring buffer), and such a process would be scanned for ever.
    pub(super) rss_at_request: u64,
    /// Number of mappings that the next list of them will have at least; 0 when not known.
    pub(super) expected: u64,
    /// Memory of that list, if it was too long at the last scan.
    pub(super) list: Bytes,
    /// When its mappings were last read without their pages: earlier calls are not applied again.
    pub(super) mapped_at: u64,
}

/// The last scan that read pages.
#[derive(Clone, Copy, Default)]
pub(super) struct LastScan {
    /// When it began, ns since boot.
    pub(super) begun_at: u64,
    /// When it ended: later events are not included.
    pub(super) at: u64,
    /// When smaps was last read.
    pub(super) detailed_at: u64,
    /// Pages that the faults sampled since the scan stand for.
    pub(super) sampled: u64,
    /// Events occurred during the scan: the page tables are read again when the process is quiet.
    pub(super) is_smeared: bool,
    /// Doubts that arose since then.
    pub(super) doubt: Doubt,
    /// Bytes whose owners were not measured.
    pub(super) unmeasured: u64,
}

/// Why all mappings must be read at the next scan.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Doubt {
    /// There is no reason.
    #[default]
    Nothing,
    /// Pages were found where no region is.
    Pages,
    /// Mappings without a call were found, and their pages were not read yet.
    Mappings,
}

/// A pending scan, and the events since it was requested.
#[derive(Default)]
pub(super) enum Pending {
    /// No scan, or too many events to keep.
    #[default]
    Nothing,
    /// A scan that returns the mappings, with or without their pages.
    Mappings(Vec<Event>),
    /// A scan that returns pages only: calls are applied immediately, and the scan does not undo them.
    Pages(Vec<Event>),
}

/// Bytes of a kept event.
pub(super) const fn size_of_event(event: &Event) -> u64 {
    let boxed = if let Event::Space(SpaceEvent::Fault(_)) = event { size_of::<Fault>() } else { 0 };
    (size_of::<Event>() + boxed) as u64
}

impl ScanState {
    /// The state that a forked child inherits: its pages are those of its parent.
    pub(super) fn fork(&self) -> Self {
        let inherited = |LastScan { at, sampled, .. }| LastScan { at, sampled, ..LastScan::default() };
        Self { last: self.last.map(inherited), rss_at_request: self.rss_at_request, ..Self::default() }
    }

    /// Whether the scan includes an event of this time. A scan of pages includes no calls.
    pub(super) fn has_seen(&self, ktime: u64, is_about_pages: bool) -> bool {
        let is_in = |last: LastScan| ktime <= last.detailed_at || (is_about_pages && ktime <= last.at);
        self.last.is_some_and(is_in) || (!is_about_pages && ktime <= self.mapped_at)
    }

    /// A scan returned no list of mappings, because there are so many.
    pub(super) fn expect_more(&mut self, over: Over) {
        (self.pending, self.not_read) = (Pending::Nothing, None);
        (self.expected, self.list) = (over.mappings, over.list);
        self.doubt_mappings();
    }

    /// Takes an event that the scan includes. True when it occurred while the pages were read.
    pub(super) fn smear(&mut self, ktime: u64) -> bool {
        let during = self.last.as_mut().filter(|last| ktime >= last.begun_at);
        during.map(|last| last.is_smeared = true).is_some()
    }

    /// Counts a sampled fault that stands for `pages` pages.
    pub(super) fn sample(&mut self, pages: u64) {
        if let Some(last) = &mut self.last {
            last.sampled = last.sampled.saturating_add(pages);
        }
    }

    /// Notes that mappings without a call were found.
    pub(super) fn doubt_mappings(&mut self) {
        if let Some(last) = &mut self.last {
            last.doubt = Doubt::Mappings;
        }
    }
}

impl LastScan {
    /// The doubt after a scan of pages only, which cannot resolve a doubt about mappings.
    pub(super) fn after_pages(&self, has_pages_outside: bool) -> Doubt {
        match (self.doubt, has_pages_outside) {
            (Doubt::Mappings, _) => Doubt::Mappings,
            (_, true) => Doubt::Pages,
            (_, false) => Doubt::Nothing,
        }
    }
}

impl Pending {
    /// Keeps an event until the scan arrives, and takes its bytes from `room`. False when there is no room: the result
    /// of the scan is stale immediately.
    pub(super) fn keep(&mut self, event: &Event, is_about_pages: bool, room: &mut u64) -> bool {
        let events = match self {
            Self::Nothing => return true,
            // Already applied, and the scan does not undo it.
            Self::Pages(_) if !is_about_pages => return true,
            Self::Mappings(events) | Self::Pages(events) => events,
        };
        let Some(left) = room.checked_sub(size_of_event(event)) else {
            *self = Self::Nothing;
            return false;
        };
        *room = left;
        events.push(event.clone());
        true
    }

    /// Bytes of the kept events.
    pub(super) fn footprint(&self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Mappings(events) | Self::Pages(events) => events.iter().map(size_of_event).sum(),
        }
    }

    /// Takes the events since the scan was requested; `None` when they were not kept.
    pub(super) fn take(&mut self) -> Option<Vec<Event>> {
        match std::mem::take(self) {
            Self::Nothing => None,
            Self::Mappings(events) | Self::Pages(events) => Some(events),
        }
    }
}
