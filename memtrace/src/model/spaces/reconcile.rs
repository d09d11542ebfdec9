//! Adjusts a process to the kernel's totals and mappings between two scans of its page tables.
//!
//! Input: a reading of `statm`, or a scan without pages. Output: adjusted estimates, and whether a scan is due. Pure.

use super::{
    totals::Totals,
    tracked::{SMALL, Tracked, is_about_pages, much},
};
use crate::{
    ingest::decode::Event,
    mm::{
        address_space::{Kinds, Stale},
        process::Resident,
        region::Region,
    },
};

impl Tracked {
    /// Whether its mappings must be read immediately, without their pages: they contradict the calls, or much of its
    /// memory is in files that are not known yet.
    pub(super) fn is_astray(&self) -> bool {
        let is_wrong =
            || matches!(self.space.stale(), Some(Stale::Missing | Stale::Conflict | Stale::Unexplained));
        let lacks_names = || self.space.stale().is_none() && self.space.unnamed().0 >= SMALL;
        self.scan.last.is_some()
            && !self.scan.is_unreadable
            && self.dirty.is_busy
            && (is_wrong() || lacks_names())
    }

    /// Compares a scan with the kernel's total at that time.
    pub(super) fn compare(&mut self, kernel: Option<Resident>, is_detailed: bool) {
        let page = self.space.geometry().page();
        let apart =
            kernel.map(|kernel| Kinds::of(page, kernel.bytes, kernel.shared).above(self.space.kinds()));
        let changed =
            apart.zip(self.totals.apart).map(|(is, was)| self.space.bytes_of(is.above(was).sum()).0);
        // A scan of pages that contradicts the last scan of all mappings has missed regions that were changing then.
        if !is_detailed && changed.is_some_and(|changed| changed >= much(self.resident())) {
            self.scan.doubt_mappings();
        } else {
            self.totals.apart = apart;
        }
    }

    /// Takes mappings without their pages: a mapping without a call is newer than the last scan and began empty.
    pub(super) fn take_regions(&mut self, regions: &[Region], at: u64, kept: Option<Vec<Event>>) {
        let (was, is_stale) = (self.resident(), self.space.stale().is_some());
        self.space.resync(regions);
        self.space.begin_unread();
        self.peak.close(was, self.resident());
        self.stacks.forget_modules();
        (self.scan.mapped_at, self.totals.may_grow_unseen) = (at, None);
        if is_stale {
            self.scan.doubt_mappings();
        }
        self.touch();
        (self.dirty.owners, self.dirty.evidence) = (true, true);
        let Some(events) = kept else { return self.space.mark_stale(Stale::Budget) };
        // Pages stayed with their regions.
        let is_later = |event: &&Event| event.header().ktime > at && !is_about_pages(event);
        events.iter().filter(is_later).for_each(|event| _ = self.space.apply(event));
    }

    /// Adjusts the regions to the kernel's total. Returns the sum before and after.
    pub(super) fn close(&mut self, Resident { bytes, shared }: Resident) -> (u64, u64) {
        let was = self.resident();
        self.totals.came_while_stale = self.space.stale().is_some();
        let Some(apart) = self.totals.apart.filter(|_| !self.totals.came_while_stale) else {
            return (was, was);
        };
        let page = self.space.geometry().page();
        let left = self.space.close(Kinds::of(page, bytes, shared).above(apart));
        let is = self.resident();
        self.peak.close(was, is);
        let closed = is.abs_diff(was);
        if closed > 0 || closed != self.totals.closed {
            self.touch();
        }
        self.totals.closed = closed;
        // Files and shared memory are also mapped and unmapped by untraced calls, and the kernel may reclaim their
        // pages.
        let more = left.shared.saturating_sub(self.totals.left_over);
        if self.space.bytes_of(more).0 >= SMALL {
            self.totals.left_over = left.shared;
            self.mark_stale(Stale::Unexplained);
            self.totals.came_while_stale = true;
        }
        (was, is)
    }

    /// Whether its totals must be read even without events: it may grow by much without a sample, or the last ones
    /// arrived while it was stale.
    pub(super) fn wants_totals(&mut self) -> bool {
        let space = &self.space;
        let Totals { came_while_stale, may_grow_unseen, .. } = &mut self.totals;
        self.scan.last.is_some()
            && (*came_while_stale || *may_grow_unseen.get_or_insert_with(|| space.may_grow_unseen()))
    }
}
