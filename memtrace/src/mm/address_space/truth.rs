//! Assigns page-table measurements to the regions that they cover.

use super::AddressSpace;
use crate::{
    mm::residency::Measured,
    units::{Bytes, Grade},
};

/// How a measurement matched the regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// One region had exactly this range.
    Exact,
    /// Several regions share it, in proportion to their estimates; their grade says so.
    Shared,
    /// No region lies wholly inside: the mappings have changed since the measurement.
    Nowhere,
}

impl AddressSpace {
    /// Sets the measured residency of an address range, measured at `at` ns since boot.
    pub fn set_truth(&mut self, start: u64, end: u64, truth: &Measured, at: u64) -> Applied {
        let page = self.geometry.page;
        let Some((first, span)) = self.first_in(start, end) else { return Applied::Nowhere };
        if (first, span.end) == (start, end) {
            let is_private = span.traits.is_anonymous();
            self.rehold(first, |held, all| held.set(truth, all, is_private, page, at, Grade::Measured));
            return Applied::Exact;
        }
        let is_private = span.traits.is_anonymous();
        let inside: Vec<(u64, u64, u64)> = self
            .spans
            .range(start..end)
            .filter(|(_, span)| span.end <= end)
            .map(|(start, span)| (*start, self.count(span.end - start), span.held.pages.into()))
            .collect();
        if inside.is_empty() {
            return Applied::Nowhere;
        }
        let total = |part: fn(&(u64, u64, u64)) -> u64| -> u64 { inside.iter().map(part).sum() };
        let (room, mut thought) = (total(|region| region.1), total(|region| region.2));
        // Distribute by the estimates first, then by the room left; never more than a region has room for.
        let resident = self.count(truth.resident.0).min(room);
        let mut known = resident.min(thought);
        let (mut rest, mut rest_room) = (resident - known, room - known);
        let mut left = Remainder { pages: room, resident, truth: *truth };
        for (start, all, was) in inside {
            let kept = part_of(known, was, thought);
            (known, thought) = (known - kept, thought - was);
            let more = part_of(rest, all - kept, rest_room);
            (rest, rest_room) = (rest - more, rest_room - (all - kept));
            let share = left.take(kept + more, all, page);
            self.rehold(start, |held, all| held.set(&share, all, is_private, page, at, Grade::Inferred));
        }
        Applied::Shared
    }
}

/// The part of a measurement that is not assigned yet.
struct Remainder {
    pages: u64,
    resident: u64,
    truth: Measured,
}

impl Remainder {
    /// Takes the share of a region that gets `resident` of the resident pages and has room for `all` pages.
    fn take(&mut self, resident: u64, all: u64, page: u64) -> Measured {
        let Self { pages, resident: left, truth } = self;
        let share = |amount: &mut Option<Bytes>, part: u64, of: u64| {
            amount.as_mut().map(|amount| {
                let part = part_of(amount.0, part, of);
                amount.0 -= part;
                Bytes(part)
            })
        };
        let share = Measured {
            resident: Bytes(resident.saturating_mul(page)),
            lazy_free: share(&mut truth.lazy_free, resident, *left),
            swapped: share(&mut truth.swapped, all, *pages),
            pss: share(&mut truth.pss, resident, *left),
        };
        (*pages, *left) = (*pages - all, *left - resident);
        share
    }
}

fn part_of(amount: u64, part: u64, all: u64) -> u64 {
    let product = u128::from(amount) * u128::from(part.min(all));
    product.checked_div(u128::from(all)).map_or(0, |part| u64::try_from(part).unwrap_or(amount))
}
