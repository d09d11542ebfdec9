//! Compares a fresh list of mappings with the regions and corrects them.

use super::{
    AddressSpace,
    span::{Span, Traits},
};
use crate::mm::{
    region::{Backing, Region},
    residency::Held,
};

/// The differences that a resync found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resynced {
    /// Bytes of regions that were right, or wrong only in protection or name.
    pub kept: u64,
    /// Bytes that no region covered, or a region of another kind.
    pub added: u64,
    /// Bytes of regions that no longer exist.
    pub dropped: u64,
    /// Invalid mappings: not page-aligned, or out of order.
    pub refused: u64,
}

impl AddressSpace {
    /// Takes a fresh list of mappings, sorted by address. Regions that it confirms keep their birth and residency;
    /// others are removed. New mappings get no birth, like those from before the tracer. Afterwards the space is not
    /// stale.
    pub fn resync(&mut self, fresh: &[Region]) -> Resynced {
        let mut was = std::mem::replace(self, Self { many: self.many, ..Self::new(self.geometry) });
        self.pool = std::mem::take(&mut was.pool);
        (self.conflicts, self.moved, self.stale) = (was.conflicts, was.moved, None);
        (self.guesses, self.period) = (std::mem::take(&mut was.guesses), was.period);
        let mut report = Resynced::default();
        let mut behind = 0;
        for region in fresh {
            let is_whole = (region.start | region.end) & (self.geometry.page - 1) == 0;
            if !is_whole || region.is_empty() || region.start < behind {
                report.refused += 1;
                continue;
            }
            behind = region.end;
            report.kept += self.take_over(&mut was, region);
            report.added += region.len();
        }
        report.added -= report.kept;
        report.dropped = was.spans.iter().map(|(start, span)| span.end - start).sum();
        let heap_end = self.spans.iter().rev().find(|(_, span)| span.traits.backing == Backing::Heap);
        self.brk = heap_end.map(|(_, span)| span.end).or(was.brk);
        // Insertion in ascending order leaves each node of the tree half empty, so rebuild it.
        self.spans = std::mem::take(&mut self.spans).into_iter().collect();
        (self.packed, self.inserted) = (self.spans.len(), 0);
        report
    }

    /// Fills a mapping's range with the known regions in it. Returns the bytes that were known.
    fn take_over(&mut self, was: &mut Self, fresh: &Region) -> u64 {
        let mut pieces = Vec::new();
        was.carve(fresh.start, fresh.end, |start, span| pieces.push((start, span)));
        let (mut at, mut kept) = (fresh.start, 0);
        for (start, mut span) in pieces.into_iter().rev() {
            if !is_same(&span, start, fresh) {
                // This region was replaced by another.
                was.put(start, span);
                continue;
            }
            self.fill(at, start, fresh);
            at = span.end;
            kept += at - start;
            span.offset = offset_of(fresh, start);
            span.traits = self.pool.share(renewed(&span.traits, fresh));
            self.put(start, span);
            self.join_inside(start, fresh);
        }
        self.fill(at, fresh.end, fresh);
        kept
    }

    /// Adds a new part of a mapping.
    fn fill(&mut self, start: u64, end: u64, fresh: &Region) {
        if start >= end {
            return;
        }
        let (born_addr, born_len) = fresh.born.map_or((0, 0), |born| (born.addr, born.len));
        let traits = self.pool.share(Traits::of(fresh));
        let held = if fresh.born.is_some() { Held::EMPTY } else { Held::UNREAD };
        self.put(start, Span { end, offset: offset_of(fresh, start), born_addr, born_len, traits, held });
        self.join_inside(start, fresh);
    }

    /// Joins the pieces of one mapping. Pieces of different mappings stay apart even if they are equal: the kernel does
    /// not merge all of them, and each measurement must find its own mapping.
    fn join_inside(&mut self, at: u64, fresh: &Region) {
        if at > fresh.start {
            self.join(at);
        }
    }
}

fn offset_of(fresh: &Region, at: u64) -> u64 {
    match fresh.backing {
        Backing::File(_) | Backing::UnknownFile | Backing::SharedAnonymous => {
            fresh.offset.wrapping_add(at.wrapping_sub(fresh.start))
        }
        Backing::Anonymous | Backing::Heap | Backing::Stack | Backing::Special(_) => 0,
    }
}

/// Whether a region can be a part of a mapping, apart from protection and name.
fn is_same(span: &Span, start: u64, fresh: &Region) -> bool {
    let traits = &span.traits;
    let is_private = |backing: &Backing| match backing {
        Backing::Anonymous | Backing::Heap | Backing::Stack => true,
        Backing::SharedAnonymous | Backing::File(_) | Backing::UnknownFile | Backing::Special(_) => false,
    };
    let is_same_backing = match (&traits.backing, &fresh.backing) {
        // The kernel shows a private mapping as heap because of its address.
        (was, is) if is_private(was) || is_private(is) => is_private(was) && is_private(is),
        (Backing::UnknownFile, Backing::File(_)) => true,
        (was, is) => was == is,
    };
    let is_same_place = !traits.has_offset() || span.offset == offset_of(fresh, start);
    traits.is_shared == fresh.is_shared
        && traits.is_hugetlb == fresh.is_hugetlb
        && is_same_backing
        && is_same_place
}

/// The mapping's traits, with those of the region that maps does not show.
fn renewed(was: &Traits, fresh: &Region) -> Traits {
    let mut traits = Traits::of(fresh);
    traits.call = was.call;
    if fresh.vm_flags.is_none() {
        (traits.has_flags, traits.flags) = (was.has_flags, was.flags);
    }
    traits.name = traits.name.or_else(|| was.name.clone());
    traits
}
