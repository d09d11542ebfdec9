//! Sampled page faults.

use super::{
    AddressSpace, HugePages, Stale,
    span::{Span, Traits},
};
use crate::{
    mm::{
        region::{Backing, Prot, VmFlags},
        residency,
    },
    units::{Bytes, Grade},
};

/// Programs read through null on purpose, and nothing is mapped below this (`vm.mmap_min_addr`).
const NULL: u64 = 64 << 10;
/// The most that a stack is assumed to grow at once: the usual stack limit.
const STACK: u64 = 8 << 20;
/// Regions to each side that a sample may spill into.
const NEIGHBOURS: usize = 64;

impl AddressSpace {
    /// Applies a sampled fault that stands for `period` faults. Returns the bytes that became resident, limited by the
    /// room in the regions.
    pub fn fault(&mut self, addr: u64, period: u64) -> Bytes {
        self.period = period.max(1);
        let is_missing = self.find(addr).is_none() && !self.grow_stack(addr);
        let Some((start, span)) = self.find(addr) else {
            if is_missing && addr >= NULL {
                self.mark_stale(Stale::Missing);
            }
            return Bytes::default();
        };
        // Such a fault raises a signal and brings no page.
        if span.traits.prot == Prot::NONE {
            return Bytes::default();
        }
        let worth = self.worth(start, span, addr);
        let pages = period.saturating_mul(worth);
        let (page, is_anonymous) = (self.geometry.page, span.traits.is_anonymous());
        let is_hugetlb = span.traits.is_hugetlb;
        let added = self.rehold(start, |held, all| held.add(pages, all, is_anonymous, page, Grade::Sampled));
        let mut added = u64::from(added.filter(|_| !is_hugetlb).unwrap_or_default());
        self.guess(start, added, pages);
        // A wrongly assumed huge page would add many pages to neighbours.
        if !is_hugetlb && worth < self.count(self.geometry.huge) {
            added += self.spill(start, pages.saturating_sub(added));
        }
        Bytes(added.saturating_mul(page))
    }

    /// Adds pages that the sampled region has no room for to neighbours that the same code mapped for the same use: the
    /// period's other faults were most likely there. Returns the pages that fit.
    fn spill(&mut self, start: u64, pages: u64) -> u64 {
        let Some(own) = self.spans.get(&start).filter(|_| pages > 0) else { return 0 };
        let room = |(at, span): (&u64, &Span)| {
            let all = self.count(span.end - at);
            (is_alike(&own.traits, &span.traits) && u64::from(span.held.pages) < all).then_some(*at)
        };
        let above = self.spans.range(start..).skip(1).take(NEIGHBOURS).filter_map(room);
        let below = self.spans.range(..start).rev().take(NEIGHBOURS).filter_map(room);
        let found: Vec<u64> = above.chain(below).collect();
        let (page, is_anonymous) = (self.geometry.page, own.traits.is_anonymous());
        let mut rest = pages;
        for at in found {
            let added = self.rehold(at, |held, all| held.add(rest, all, is_anonymous, page, Grade::Sampled));
            let added = u64::from(added.unwrap_or_default());
            self.guess(at, added, added);
            rest = rest.saturating_sub(added);
            if rest == 0 {
                break;
            }
        }
        pages - rest
    }

    /// The number of pages that one fault brings.
    pub(super) fn worth(&self, start: u64, span: &Span, addr: u64) -> u64 {
        let huge = self.count(self.geometry.huge);
        let traits = &span.traits;
        if traits.is_hugetlb {
            return huge;
        }
        match traits.backing {
            Backing::File(_) | Backing::UnknownFile => {
                residency::fault_around(traits.prot, self.geometry.page)
            }
            Backing::Anonymous | Backing::Heap | Backing::Stack => {
                let block = addr & !(self.geometry.huge - 1);
                let fits = block >= start && span.end - block >= self.geometry.huge;
                if self.wants_huge(traits) && fits { huge } else { 1 }
            }
            Backing::SharedAnonymous | Backing::Special(_) => 1,
        }
    }

    /// Whether the kernel makes huge pages in such a region where they fit.
    pub(super) fn wants_huge(&self, traits: &Traits) -> bool {
        traits.is_anonymous()
            && !traits.is_hugetlb
            && match self.geometry.thp {
                HugePages::Always => !traits.flags.has(VmFlags::NO_HUGE_PAGE),
                HugePages::Madvise => traits.flags.has(VmFlags::HUGE_PAGE),
                HugePages::Never => false,
            }
    }

    /// Extends a stack down to the address that was touched below it, as the kernel does.
    fn grow_stack(&mut self, addr: u64) -> bool {
        let Some((start, span)) = self.spans.range(addr..).next() else { return false };
        let is_stack = span.traits.backing == Backing::Stack || span.traits.flags.has(VmFlags::GROWS_DOWN);
        if !is_stack || start - addr > STACK {
            return false;
        }
        let mut grown = Vec::new();
        let (start, end) = (*start, span.end);
        self.carve(start, end, |_, span| grown.push(span));
        let first = addr & !(self.geometry.page - 1);
        for span in grown {
            let offset = span.offset.wrapping_sub(if span.traits.has_offset() { start - first } else { 0 });
            self.put(first, Span { offset, ..span });
        }
        true
    }
}

/// Whether the same code mapped two regions for the same use, as far as the calls show.
fn is_alike(a: &Traits, b: &Traits) -> bool {
    (a.prot, a.is_shared, a.is_hugetlb, a.flags, a.call)
        == (b.prot, b.is_shared, b.is_hugetlb, b.flags, b.call)
        && std::mem::discriminant(&a.backing) == std::mem::discriminant(&b.backing)
}
