//! Resident memory of a region, and how well it is known.
//!
//! Input: sampled faults, releases and page-table measurements. Output: [`Residency`] of each region and [`Totals`] of
//! each space. Pure. No figure is negative or larger than its region; the difference to the kernel's RSS is shown
//! separately, see [`Closing`].

use super::{
    region::{Prot, Region},
    smaps::Usage,
};
use serde::{Deserialize, Serialize};

use crate::units::{Bytes, Grade};

/// The memory of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Residency {
    /// Resident bytes; for hugetlb regions, bytes in hugetlb pages, which RSS does not count.
    pub resident: Bytes,
    /// The part of `resident` that was given back with `MADV_FREE`.
    pub lazy_free: Bytes,
    /// Swapped out.
    pub swapped: Bytes,
    /// PSS: resident bytes, each page divided by the number of its mappings; `None` when not read since a fork.
    pub pss: Option<Bytes>,
    /// How `resident` was determined.
    pub grade: Grade,
    /// When it was last read from the page tables, in ns since boot with a resolution of 67 ms; `None` when it is known
    /// from calls and faults only.
    pub measured_at: Option<u64>,
}

/// A page-table measurement of a range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Resident bytes; for hugetlb regions, bytes in hugetlb pages.
    pub resident: Bytes,
    /// The part of `resident` that was given back with `MADV_FREE`; only smaps shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lazy_free: Option<Bytes>,
    /// Swapped out.
    #[serde(default)]
    pub swapped: Option<Bytes>,
    /// PSS: each page divided by the number of its mappings; only smaps shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pss: Option<Bytes>,
}

impl Measured {
    /// From a mapping of smaps; `None` when the kernel did not print its resident bytes.
    pub fn of(region: &Region, usage: &Usage) -> Option<Self> {
        let resident = if region.is_hugetlb { usage.hugetlb? } else { usage.rss? };
        Some(Self { resident, lazy_free: usage.lazy_free, swapped: usage.swap, pss: usage.pss })
    }

    /// The usage that [`Measured::of`] reads this from.
    pub fn usage(&self, region: &Region) -> Usage {
        let Self { resident, lazy_free, swapped, pss } = *self;
        let (rss, hugetlb) = if region.is_hugetlb { (None, Some(resident)) } else { (Some(resident), None) };
        Usage { rss, hugetlb, lazy_free, swap: swapped, pss, ..Usage::default() }
    }
}

/// The sums over an address space, updated with each change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Mapped.
    pub mapped: Bytes,
    /// Resident in the regions' figures, without hugetlb.
    pub resident: Bytes,
    /// The part of `resident` in files and shared memory.
    pub shared: Bytes,
    /// The part of `resident` that was given back with `MADV_FREE`.
    pub lazy_free: Bytes,
    /// Swapped out.
    pub swapped: Bytes,
    /// In hugetlb pages.
    pub hugetlb: Bytes,
}

/// The model's sum and the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// The process's RSS as the kernel counts it.
    pub total: Bytes,
    /// What regions account for.
    pub attributed: Bytes,
    /// Resident, but in no region's figure.
    pub unattributed: Bytes,
    /// In the regions' figures, but not resident.
    pub excess: Bytes,
}

impl Totals {
    /// Compares the sum with the kernel's total (`statm`). The difference is never hidden.
    pub const fn close(&self, total: Bytes) -> Closing {
        let attributed = self.resident;
        Closing {
            total,
            attributed,
            unattributed: Bytes(total.0.saturating_sub(attributed.0)),
            excess: Bytes(attributed.0.saturating_sub(total.0)),
        }
    }
}

/// The state of a region, in pages: small, because there is one for each of a process's 60,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) pages: u32,
    pub(super) lazy: u32,
    pub(super) swapped: u32,
    /// KiB, or [`Held::NO_PSS`].
    pss: u32,
    /// Units of 2^26 ns; 0 for never.
    at: u32,
    /// `None`: never read, and the region was there before the tracer.
    grade: Option<Grade>,
}

impl Held {
    const NO_PSS: u32 = u32::MAX;
    const TICK: u32 = 26;

    /// The state of a region that was just mapped.
    pub(super) const EMPTY: Self =
        Self { pages: 0, lazy: 0, swapped: 0, pss: 0, at: 0, grade: Some(Grade::Sampled) };
    /// The state of a region that existed before.
    pub(super) const UNREAD: Self = Self { pss: Self::NO_PSS, grade: None, ..Self::EMPTY };

    /// Whether its page tables were ever read.
    pub(super) const fn was_read(&self) -> bool {
        self.at != 0
    }

    /// Marks a region that was never measured as initially empty, because it is newer than the last full scan.
    pub(super) fn begin(&mut self) {
        self.grade = self.grade.or(Some(Grade::Inferred));
    }

    /// Removes pages that were wrongly estimated to be resident. Returns how many.
    pub(super) fn retract(&mut self, pages: u64) -> u32 {
        let gone = clip(pages).min(self.pages);
        if self.pss != Self::NO_PSS {
            self.pss -= share(self.pss, gone.into(), self.pages.into());
        }
        self.pages -= gone;
        self.lazy = self.lazy.min(self.pages);
        gone
    }

    /// Whether there are pages with an unknown number of sharers.
    pub(super) const fn lacks_pss(&self) -> bool {
        self.pages > 0 && self.pss == Self::NO_PSS
    }

    /// The public form; `None` when the region was never measured.
    pub(super) fn show(self, page: u64) -> Option<Residency> {
        let bytes = |pages: u32| Bytes(u64::from(pages).saturating_mul(page));
        Some(Residency {
            resident: bytes(self.pages),
            lazy_free: bytes(self.lazy),
            swapped: bytes(self.swapped),
            pss: (self.pss != Self::NO_PSS).then(|| Bytes::from_kib(u64::from(self.pss))),
            grade: self.grade?,
            measured_at: (self.at != 0).then(|| u64::from(self.at) << Self::TICK),
        })
    }

    /// Splits off the part after the first `left` of `all` pages, in proportion.
    pub(super) fn split(&mut self, left: u64, all: u64) -> Self {
        let mut right = *self;
        let right_part = all.saturating_sub(left);
        right.pages = share(self.pages, right_part, all);
        self.pages -= right.pages;
        // A share of a smaller amount is never larger, even rounded, so no part has more lazily freed pages than
        // resident ones.
        right.lazy = share(self.lazy, right_part, all);
        self.lazy -= right.lazy;
        right.swapped = share(self.swapped, right_part, all);
        self.swapped -= right.swapped;
        if self.pss != Self::NO_PSS {
            right.pss = share(self.pss, right_part, all);
            self.pss -= right.pss;
        }
        right
    }

    /// Whether a neighbour's figures can be added: a region counts up to 2^32 pages.
    pub(super) fn has_room_for(&self, other: &Self) -> bool {
        let pairs = [(self.pages, other.pages), (self.lazy, other.lazy), (self.swapped, other.swapped)];
        pairs.into_iter().all(|(ours, others)| ours.checked_add(others).is_some())
    }

    /// Adds a neighbour's figures.
    pub(super) fn absorb(&mut self, other: Self) {
        self.pages = self.pages.saturating_add(other.pages);
        self.lazy = self.lazy.saturating_add(other.lazy);
        self.swapped = self.swapped.saturating_add(other.swapped);
        let has_pss = self.pss != Self::NO_PSS && other.pss != Self::NO_PSS;
        self.pss = if has_pss { self.pss.saturating_add(other.pss) } else { Self::NO_PSS };
        self.at = self.at.min(other.at);
        self.grade = worse(self.grade, other.grade);
    }

    /// Adds resident pages, up to the room in the region. Returns how many were added.
    pub(super) fn add(&mut self, pages: u64, all: u64, is_private: bool, page: u64, grade: Grade) -> u32 {
        let room = clip(all).saturating_sub(self.pages);
        let added = clip(pages).min(room);
        self.pages += added;
        if self.pss != Self::NO_PSS && added > 0 {
            let kib = clip(u64::from(added).saturating_mul(page / 1024));
            self.pss =
                if is_private { self.pss.saturating_add(kib).min(Self::NO_PSS - 1) } else { Self::NO_PSS };
        }
        // An unknown grade becomes known only by a measurement.
        self.grade = self.grade.and_then(|was| worse(Some(was), Some(grade)));
        added
    }

    /// Releases `part` of `all` pages. Returns how many of them were resident: programs release pages that they used,
    /// so resident pages are assumed to be released first.
    pub(super) fn release(&mut self, part: u64, all: u64) -> u32 {
        let released = clip(part).min(self.pages);
        self.lazy -= share(self.lazy, released.into(), self.pages.into());
        self.swapped -= share(self.swapped, part, all);
        if self.pss != Self::NO_PSS {
            self.pss -= share(self.pss, released.into(), self.pages.into());
        }
        self.pages -= released;
        if part < all && released > 0 {
            self.grade = worse(self.grade, Some(Grade::Sampled));
        }
        released
    }

    /// Marks `part` of `all` pages as lazily freed. Returns how many of them are resident.
    pub(super) fn free_lazily(&mut self, part: u64, all: u64) -> u32 {
        let freed = clip(part).min(self.pages - self.lazy);
        self.lazy += freed;
        // Swapped pages are dropped at once.
        self.swapped -= share(self.swapped, part, all);
        freed
    }

    /// Lowers the grade: the figure may have changed in a way that no fault or call shows.
    pub(super) fn doubt(&mut self) {
        self.grade = worse(self.grade, Some(Grade::Inferred));
    }

    /// Drops the PSS, because the number of sharers has changed.
    pub(super) fn forget_pss(&mut self) {
        self.pss = Self::NO_PSS;
    }

    /// Sets measured figures, up to the room in the region. Figures that only smaps gives keep their proportion if the
    /// measurement lacks them; private pages that were never shared count fully in PSS.
    pub(super) fn set(
        &mut self,
        truth: &Measured,
        all: u64,
        is_private: bool,
        page: u64,
        at: u64,
        grade: Grade,
    ) {
        let was = *self;
        let pages = |bytes: Option<Bytes>| Some(clip(bytes?.0.checked_div(page)?.min(all)));
        self.pages = pages(Some(truth.resident)).unwrap_or(0);
        self.lazy = pages(truth.lazy_free).unwrap_or(self.lazy).min(self.pages);
        self.swapped = pages(truth.swapped).unwrap_or(self.swapped);
        let own = u64::from(self.pages).saturating_mul(page / 1024);
        let pss = match truth.pss {
            Some(pss) => Some(pss.0 / 1024),
            None if was.pss == Self::NO_PSS => None,
            None if was.pages == 0 => is_private.then_some(own),
            None => u64::from(was.pss).saturating_mul(self.pages.into()).checked_div(was.pages.into()),
        };
        self.pss = pss.map_or(Self::NO_PSS, |pss| clip(pss).min(Self::NO_PSS - 1));
        self.at = clip(at >> Self::TICK);
        self.grade = Some(grade);
    }
}

/// Bytes that a read fault in a file maps at once: `fault_around_bytes` is 64 KiB for any page size.
const FAULT_AROUND: u64 = 64 << 10;

/// The number of pages that one fault in a file mapping brings.
pub(super) fn fault_around(prot: Prot, page: u64) -> u64 {
    // A write fault brings one page, and most faults in writable mappings are writes.
    if prot.is_writable() { 1 } else { FAULT_AROUND.checked_div(page).unwrap_or(1).max(1) }
}

/// `amount * part / all`, rounded down; the whole amount if `all` is 0.
fn share(amount: u32, part: u64, all: u64) -> u32 {
    let part = part.min(all);
    let share = match u64::from(amount).checked_mul(part) {
        Some(product) => product.checked_div(all),
        None => (u128::from(amount) * u128::from(part)).checked_div(all.into()).map(|share| share as u64),
    };
    share.map_or(amount, |share| u32::try_from(share).unwrap_or(amount))
}

fn clip(pages: u64) -> u32 {
    u32::try_from(pages).unwrap_or(u32::MAX)
}

/// The worse of two grades; unknown is the worst.
fn worse(a: Option<Grade>, b: Option<Grade>) -> Option<Grade> {
    let rank = |grade| match grade {
        Grade::Read => 0,
        Grade::Measured => 1,
        Grade::Sampled => 2,
        Grade::Inferred => 3,
    };
    let (a, b) = (a?, b?);
    Some(if rank(a) < rank(b) { b } else { a })
}

#[cfg(test)]
#[path = "residency_tests.rs"]
mod tests;
