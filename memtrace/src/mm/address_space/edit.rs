//! All operations that change the map. They keep it sorted and disjoint, and the totals up to date.
//!
//! Nothing else in this folder touches `spans` or `totals`.

use super::{
    AddressSpace,
    span::{Span, Traits},
};
use crate::{mm::residency::Held, units::Bytes};

/// How the kernel counts the pages of a region.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Anonymous pages.
    Private,
    /// Pages of files and shared memory. Written pages of private file mappings are anonymous to the kernel, but they
    /// are few.
    Shared,
    /// Hugetlb pages, not part of RSS.
    Hugetlb,
}

impl Kind {
    fn of(traits: &Traits) -> Self {
        match (traits.is_hugetlb, traits.is_anonymous()) {
            (true, _) => Self::Hugetlb,
            (false, true) => Self::Private,
            (false, false) => Self::Shared,
        }
    }
}

impl AddressSpace {
    /// A call's range in whole pages; `None` when it is empty or exceeds the address range.
    pub(super) fn pages(&self, addr: u64, len: u64) -> Option<(u64, u64)> {
        let mask = self.geometry.page - 1;
        let start = addr & !mask;
        let end = addr.checked_add(len)?.checked_add(mask)? & !mask;
        (start < end).then_some((start, end))
    }

    /// The number of pages in `bytes`.
    pub(super) fn count(&self, bytes: u64) -> u64 {
        bytes >> self.geometry.page.trailing_zeros()
    }

    /// The region of an address.
    pub(super) fn find(&self, addr: u64) -> Option<(u64, &Span)> {
        let (start, span) = self.spans.range(..=addr).next_back()?;
        (addr < span.end).then_some((*start, span))
    }

    /// The first region that overlaps a range.
    pub(super) fn first_in(&self, start: u64, end: u64) -> Option<(u64, &Span)> {
        let found =
            self.find(start).or_else(|| self.spans.range(start..).next().map(|(at, span)| (*at, span)));
        found.filter(|(at, _)| start < end && *at < end)
    }

    /// Whether regions cover a range without a hole.
    pub(super) fn is_covered(&self, start: u64, end: u64) -> bool {
        let mut at = start;
        while at < end {
            match self.find(at) {
                Some((_, span)) => at = span.end,
                None => return false,
            }
        }
        true
    }

    /// Splits the region of an address there, so that no region crosses it.
    pub(super) fn cut(&mut self, at: u64) {
        let page = self.geometry.page;
        let Some((start, span)) = self.spans.range_mut(..at).next_back() else { return };
        if span.end > at {
            let right = span.split(*start, at, page);
            self.spans.insert(at, right);
            self.inserted = self.inserted.saturating_add(1);
        }
    }

    /// Whether a region overlaps a range.
    pub(super) fn is_taken(&self, start: u64, end: u64) -> bool {
        self.spans.range(..end).next_back().is_some_and(|(_, last)| last.end > start)
    }

    /// Removes everything from a range, last region first.
    pub(super) fn carve(&mut self, start: u64, end: u64, mut taken: impl FnMut(u64, Span)) {
        while let Some((at, last)) = self.spans.range(..end).next_back() {
            let at = *at;
            if last.end <= start {
                return;
            } else if last.end > end {
                self.cut(end);
            } else if at < start {
                self.cut(start);
            } else if let Some(span) = self.spans.remove(&at) {
                self.count_in(at, &span, false);
                taken(at, span);
            }
        }
    }

    /// Inserts a region into a free range.
    pub(super) fn put(&mut self, start: u64, span: Span) {
        self.count_in(start, &span, true);
        self.spans.insert(start, span);
        self.inserted = self.inserted.saturating_add(1);
    }

    /// Joins the region that begins at an address to the one that ends there, if they differ in nothing else.
    pub(super) fn join(&mut self, at: u64) {
        let Some(right) = self.spans.get(&at) else { return };
        let Some((start, left)) = self.spans.range(..at).next_back() else { return };
        // No process has that much memory, but a bogus call must not make the sums wrong.
        if left.end != at || !left.continues_in(*start, right) || !left.held.has_room_for(&right.held) {
            return;
        }
        let (held, end) = (right.held, right.end);
        self.spans.remove(&at);
        if let Some((_, left)) = self.spans.range_mut(..at).next_back() {
            left.end = end;
            left.held.absorb(held);
        }
    }

    /// Changes the traits of all regions in a range; splits and joins regions where necessary.
    pub(super) fn retrait(&mut self, start: u64, end: u64, change: impl Fn(&mut Traits)) {
        let is_other = |span: &Span| {
            let mut traits = (*span.traits).clone();
            change(&mut traits);
            (traits != *span.traits).then_some(traits)
        };
        let mut at = start;
        while let Some((first, span)) = self.first_in(at, end) {
            let (from, to) = (first.max(start), span.end.min(end));
            at = to;
            let Some(traits) = is_other(span) else { continue };
            let traits = self.pool.share(traits);
            self.cut(from);
            self.cut(to);
            if let Some(span) = self.spans.get_mut(&from) {
                span.traits = traits;
            }
            self.join(from);
        }
        self.join(end);
    }

    /// Changes the residency of the region at `start`.
    pub(super) fn rehold<T>(&mut self, start: u64, change: impl FnOnce(&mut Held, u64) -> T) -> Option<T> {
        let span = self.spans.get_mut(&start)?;
        let before = span.held;
        let pages = (span.end - start) >> self.geometry.page.trailing_zeros();
        let outcome = change(&mut span.held, pages);
        let (after, kind) = (span.held, Kind::of(&span.traits));
        self.add(&before, kind, false);
        self.add(&after, kind, true);
        let moved = u64::from(before.pages.abs_diff(after.pages));
        self.moved = self.moved.saturating_add(moved.saturating_mul(self.geometry.page));
        Some(outcome)
    }

    fn count_in(&mut self, start: u64, span: &Span, is_in: bool) {
        let mapped = &mut self.totals.mapped.0;
        let len = span.end - start;
        *mapped = if is_in { mapped.saturating_add(len) } else { mapped.saturating_sub(len) };
        self.add(&span.held, Kind::of(&span.traits), is_in);
    }

    fn add(&mut self, held: &Held, kind: Kind, is_in: bool) {
        let page = self.geometry.page;
        let totals = &mut self.totals;
        let count = |sum: &mut Bytes, pages: u32| {
            let bytes = u64::from(pages).saturating_mul(page);
            sum.0 = if is_in { sum.0.saturating_add(bytes) } else { sum.0.saturating_sub(bytes) };
        };
        if kind == Kind::Hugetlb {
            count(&mut totals.hugetlb, held.pages);
        } else {
            if kind == Kind::Shared {
                count(&mut totals.shared, held.pages);
            }
            count(&mut totals.resident, held.pages);
            count(&mut totals.lazy_free, held.lazy);
            count(&mut totals.swapped, held.swapped);
        }
    }
}
