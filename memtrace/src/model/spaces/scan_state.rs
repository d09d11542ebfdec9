//! What the last scan of a process left, and what was asked for since.
//!
//! Times of scans and events -> whether an event is news, whether a look is due. Pure.

use crate::ingest::decode::Event;

/// Events that are kept while a scan is under way; more, and its result is stale at once.
const MOST_KEPT: usize = 10_000;

/// The scans of one process.
#[derive(Default)]
pub(super) struct ScanState {
    /// `None` before the first.
    pub(super) last: Option<LastScan>,
    /// What was asked for and did not come yet.
    pub(super) pending: Pending,
    /// The last scan gave nothing: the process is gone, or not ours to read.
    pub(super) is_unreadable: bool,
    /// The kernel's total when the last scan was asked for. Never the sum of a scan: smaps counts pages that the total
    /// does not (those of a ring buffer), and such a process would be read for ever.
    pub(super) rss_at_request: u64,
    /// When its mappings were read last without their pages: their calls are not done again.
    pub(super) mapped_at: u64,
}

/// The last scan that read pages.
#[derive(Clone, Copy, Default)]
pub(super) struct LastScan {
    /// When it began, ns since boot.
    pub(super) begun_at: u64,
    /// When it was over: events after that are not in it.
    pub(super) at: u64,
    /// When smaps was read last.
    pub(super) detailed_at: u64,
    /// Pages that the faults sampled since then stand for.
    pub(super) sampled: u64,
    /// Something happened while the page tables were read: they are read again when it has come to rest.
    pub(super) is_smeared: bool,
    /// What is not certain since then.
    pub(super) doubt: Doubt,
    /// Bytes that it could not tell the owners of.
    pub(super) unmeasured: u64,
}

/// Why all mappings must be read at the next scan.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Doubt {
    /// They need not.
    #[default]
    Nothing,
    /// Pages were found where no region is.
    Pages,
    /// Mappings that no call told of were found, and their pages were not read yet.
    Mappings,
}

/// A scan that is under way, and the events since it was asked for.
#[derive(Default)]
pub(super) enum Pending {
    /// None, or more happened than is kept.
    #[default]
    Nothing,
    /// One that gives the mappings, with or without their pages.
    Mappings(Vec<Event>),
    /// One that gives pages alone: calls are done at once, and it does not undo them.
    Pages(Vec<Event>),
}

impl ScanState {
    /// What a forked child inherits: its pages are its parent's.
    pub(super) fn fork(&self) -> Self {
        let inherited = |LastScan { at, sampled, .. }| LastScan { at, sampled, ..LastScan::default() };
        Self { last: self.last.map(inherited), rss_at_request: self.rss_at_request, ..Self::default() }
    }

    /// Whether an event of this time is in what was read. A scan of pages has seen no calls.
    pub(super) fn has_seen(&self, ktime: u64, is_about_pages: bool) -> bool {
        let is_in = |last: LastScan| ktime <= last.detailed_at || (is_about_pages && ktime <= last.at);
        self.last.is_some_and(is_in) || (!is_about_pages && ktime <= self.mapped_at)
    }

    /// An event that was seen: true when it came while the pages were read.
    pub(super) fn smear(&mut self, ktime: u64) -> bool {
        let during = self.last.as_mut().filter(|last| ktime >= last.begun_at);
        during.map(|last| last.is_smeared = true).is_some()
    }

    /// A fault that stands for so many pages.
    pub(super) fn sample(&mut self, pages: u64) {
        if let Some(last) = &mut self.last {
            last.sampled = last.sampled.saturating_add(pages);
        }
    }

    /// Mappings were found that no call told of.
    pub(super) fn doubt_mappings(&mut self) {
        if let Some(last) = &mut self.last {
            last.doubt = Doubt::Mappings;
        }
    }
}

impl LastScan {
    /// The doubt after a scan of pages alone, which cannot take away one of mappings.
    pub(super) fn after_pages(&self, has_pages_outside: bool) -> Doubt {
        match (self.doubt, has_pages_outside) {
            (Doubt::Mappings, _) => Doubt::Mappings,
            (_, true) => Doubt::Pages,
            (_, false) => Doubt::Nothing,
        }
    }
}

impl Pending {
    /// Keeps an event for the time when the scan is there; false when that is one too many.
    pub(super) fn keep(&mut self, event: &Event, is_about_pages: bool) -> bool {
        let events = match self {
            Self::Nothing => return true,
            // Done, and what was read does not undo it.
            Self::Pages(_) if !is_about_pages => return true,
            Self::Mappings(events) | Self::Pages(events) => events,
        };
        if events.len() >= MOST_KEPT {
            *self = Self::Nothing;
            return false;
        }
        events.push(event.clone());
        true
    }

    /// The events since the scan was asked for; `None` when they were not kept.
    pub(super) fn take(&mut self) -> Option<Vec<Event>> {
        match std::mem::take(self) {
            Self::Nothing => None,
            Self::Mappings(events) | Self::Pages(events) => Some(events),
        }
    }
}
