//! The address space of one process, updated by its system calls.
//!
//! Input: events, and maps or page tables for what events do not show. Output: [`Region`]s with their [`Residency`].
//! Regions are sorted, disjoint, not empty and page-aligned. No I/O and no guessed regions: an event that contradicts
//! the regions marks the space as stale until [`AddressSpace::resync`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::{
    close::Guess,
    span::{Pool, Span},
};
use super::{
    region::{Backing, Region},
    residency::{Residency, Totals},
};
use crate::{
    ingest::decode::{Event, SpaceEvent, TaskEvent},
    units::Bytes,
};

mod advice;
mod calls;
mod close;
mod edit;
mod fault;
mod fork;
mod remap;
mod resync;
mod span;
mod truth;

pub use self::{close::Kinds, resync::Resynced, truth::Applied};

/// When the kernel makes transparent huge pages: `/sys/kernel/mm/transparent_hugepage/enabled`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HugePages {
    /// Never.
    #[default]
    Never,
    /// Only in ranges with `MADV_HUGEPAGE`.
    Madvise,
    /// Wherever one fits.
    Always,
}

/// Sizes that depend on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(u64, u64, HugePages)", into = "(u64, u64, HugePages)")]
pub struct Geometry {
    page: u64,
    huge: u64,
    thp: HugePages,
}

impl Default for Geometry {
    /// Pages of 4 KiB and huge pages of 2 MiB, no transparent huge pages.
    fn default() -> Self {
        Self { page: 4096, huge: 2 << 20, thp: HugePages::Never }
    }
}

impl TryFrom<(u64, u64, HugePages)> for Geometry {
    type Error = &'static str;

    fn try_from((page, huge, thp): (u64, u64, HugePages)) -> Result<Self, Self::Error> {
        Self::new(page, huge, thp).ok_or("sizes of pages that no machine has")
    }
}

impl From<Geometry> for (u64, u64, HugePages) {
    fn from(Geometry { page, huge, thp }: Geometry) -> Self {
        (page, huge, thp)
    }
}

impl Geometry {
    /// From the bytes of a page and of a huge page. `None` unless both are powers of two and a huge page is at least as
    /// large.
    pub const fn new(page: u64, huge: u64, thp: HugePages) -> Option<Self> {
        if page >= 1024 && page.is_power_of_two() && huge.is_power_of_two() && huge >= page {
            Some(Self { page, huge, thp })
        } else {
            None
        }
    }

    /// Bytes of a page.
    pub const fn page(&self) -> u64 {
        self.page
    }
}

/// Why a space must be read again before it is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stale {
    /// Nothing was read yet: the process is new or has replaced its program.
    Unseeded,
    /// Events were lost.
    Loss,
    /// The process was over its event budget, so its calls were not streamed.
    Budget,
    /// A call returned a range that overlaps regions it cannot have replaced.
    Conflict,
    /// A call or a fault concerned a range without a region.
    Missing,
    /// The break moved, and the old break is not known.
    UnknownBreak,
    /// The kernel's RSS of files and shared memory differs from what the regions can explain.
    Unexplained,
}

/// The resident pages that a call released.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// No longer resident.
    pub resident: Bytes,
    /// Still resident, but reclaimable at any time (`MADV_FREE`).
    pub freed_lazily: Bytes,
}

/// Number of regions above which neighbours of the same caller are merged.
const MANY: usize = 1 << 18;

/// An address space.
#[derive(Clone, Debug)]
pub struct AddressSpace {
    geometry: Geometry,
    spans: BTreeMap<u64, Span>,
    pool: Pool,
    totals: Totals,
    moved: u64,
    /// The program break, rounded up to a page.
    brk: Option<u64>,
    stale: Option<Stale>,
    conflicts: u64,
    many: usize,
    /// Guesses by the start that the region had when the first guess was made.
    guesses: BTreeMap<u64, Guess>,
    /// Faults that the last sample stands for.
    period: u64,
    /// Regions when the tree was packed last, and those inserted since: both tell how full its nodes are.
    packed: usize,
    inserted: usize,
}

impl AddressSpace {
    /// A space of which nothing is known yet.
    pub fn new(geometry: Geometry) -> Self {
        Self {
            geometry,
            spans: BTreeMap::new(),
            pool: Pool::default(),
            totals: Totals::default(),
            moved: 0,
            brk: None,
            stale: Some(Stale::Unseeded),
            conflicts: 0,
            many: MANY,
            guesses: BTreeMap::new(),
            period: 1,
            packed: 0,
            inserted: 0,
        }
    }

    /// Applies an event of this process. Events that do not concern its addresses change nothing. For a fork call
    /// [`AddressSpace::fork`], because it makes another space.
    pub fn apply(&mut self, event: &Event) -> Released {
        match event {
            Event::Space(event) => return self.apply_change(event),
            Event::Task(TaskEvent::Exec(_)) => self.clear(),
            Event::Task(_) | Event::Cgroup(_) | Event::Kill(_) => {}
        }
        Released::default()
    }

    fn apply_change(&mut self, event: &SpaceEvent) -> Released {
        match event {
            SpaceEvent::Mmap(call) => return self.map(call),
            SpaceEvent::Munmap(call) => return self.unmap(call.addr, call.len),
            SpaceEvent::Mremap(call) => return self.remap(call),
            SpaceEvent::Brk(call) => return self.set_brk(call.brk),
            SpaceEvent::Madvise(call) => return self.advise(call.addr, call.len, call.advice),
            SpaceEvent::Mprotect(call) => self.protect(call.addr, call.len, call.prot),
            SpaceEvent::Fault(fault) => {
                self.fault(fault.addr, fault.period);
            }
            SpaceEvent::Throttled(_) => self.mark_stale(Stale::Budget),
            // These change neither mappings nor resident pages.
            _ => {}
        }
        Released::default()
    }

    /// Forgets everything: the program was replaced.
    pub fn clear(&mut self) {
        *self = Self::new(self.geometry);
    }

    /// Marks the space as stale. The first reason is kept.
    pub fn mark_stale(&mut self, reason: Stale) {
        self.stale.get_or_insert(reason);
    }

    /// Why the space is stale; `None` when it is not.
    pub const fn stale(&self) -> Option<Stale> {
        self.stale
    }

    /// Calls so far that contradicted the regions.
    pub const fn conflicts(&self) -> u64 {
        self.conflicts
    }

    /// The sums over all regions.
    pub const fn totals(&self) -> Totals {
        self.totals
    }

    /// Bytes by which estimates changed, up and down, since [`AddressSpace::settle`]: tells when to scan again.
    pub const fn moved(&self) -> Bytes {
        Bytes(self.moved)
    }

    /// The page tables were read in full.
    pub fn settle(&mut self) {
        self.moved = 0;
        self.forget_guesses();
    }

    /// Regions without a measurement are newer than the last full scan, so they began empty.
    pub fn begin_unread(&mut self) {
        self.spans.values_mut().for_each(|span| span.held.begin());
    }

    /// Whether some pages have an unknown number of sharers, which only smaps gives: after a fork, or in new file
    /// mappings.
    pub fn lacks_pss(&self) -> bool {
        self.spans.values().any(|span| span.held.lacks_pss())
    }

    /// Whether there are mapped files whose name only maps gives.
    pub fn lacks_names(&self) -> bool {
        self.spans.values().any(|span| span.traits.backing == Backing::UnknownFile)
    }

    /// Resident bytes of files whose name is not known yet.
    pub fn unnamed(&self) -> Bytes {
        let unnamed = self.spans.values().filter(|span| span.traits.backing == Backing::UnknownFile);
        let pages = unnamed.map(|span| u64::from(span.held.pages)).fold(0, u64::saturating_add);
        Bytes(pages.saturating_mul(self.geometry.page))
    }

    /// Number of regions.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are no regions.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Sizes of this machine.
    pub const fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// The region of an address, and its residency; `None` for the latter when it was never measured.
    pub fn at(&self, addr: u64) -> Option<(Region, Option<Residency>)> {
        let (start, span) = self.find(addr)?;
        Some((span.region(start), span.held.show(self.geometry.page)))
    }

    /// The regions by address, each with its residency.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Region, Option<Residency>)> {
        let page = self.geometry.page;
        self.spans.iter().map(move |(start, span)| (span.region(*start), span.held.show(page)))
    }

    /// The regions by address.
    pub fn regions(&self) -> impl DoubleEndedIterator<Item = Region> {
        self.spans.iter().map(|(start, span)| span.region(*start))
    }

    /// Bytes of memory that this model uses, from counts.
    pub fn footprint(&self) -> Bytes {
        let spans = tree::<u64, Span>(self.spans.len(), self.packed, self.inserted);
        let guesses = tree::<u64, Guess>(self.guesses.len(), 0, self.guesses.len());
        Bytes((size_of::<Self>() + spans + guesses) as u64 + self.pool.footprint())
    }
}

/// Bytes of a `BTreeMap` of so many entries. A node has room for 11; packed nodes are full, others to two thirds.
const fn tree<K, V>(len: usize, packed: usize, inserted: usize) -> usize {
    let node = 11 * (size_of::<K>() + size_of::<V>()) + 24;
    let full = packed / 11;
    // An insertion into a full node splits it.
    let split = if inserted < full { inserted } else { full };
    let grown = len.saturating_sub(packed) / 7;
    let nodes = full + if split < grown { grown } else { split };
    // Nodes that are less than half full are merged.
    let nodes = if nodes > len / 5 { len / 5 } else { nodes };
    (nodes + (len > 0) as usize) * node
}

#[cfg(test)]
mod tests;
