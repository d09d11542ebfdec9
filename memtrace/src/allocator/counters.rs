//! Allocators' own counters: how much of their memory is in use, and how much they retain.
//!
//! Input: an [`Image`] of a process's memory, and evidence about its programs. Output: [`Counters`], or why there are
//! none. Nothing here may stop the process or fault in a page. The memory is untrusted: it may contain cycles, huge
//! counts and wild pointers, and it changes while it is read.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::{
    AllocatorId, Owned,
    evidence::ProcessEvidence,
    image::{Files, Image},
};
use crate::{
    mm::region::Region,
    units::{Bytes, Grade},
};

#[doc(hidden)]
pub mod conformance;
pub mod data;
pub mod error_bound;
pub mod launch;
pub mod plausibility;
pub mod sampling;
mod share;

use share::Share;

/// The cost of a reading. All readers share a budget, and the cheap ones go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cost {
    /// A few words are read.
    Figures,
    /// Metadata is walked, whose size grows with the heap.
    Walk,
}

/// All readers in order.
static READERS: LazyLock<Vec<&'static dyn CounterReader>> = LazyLock::new(|| {
    let mut all: Vec<_> = AllocatorId::ALL.iter().filter_map(|id| id.allocator().counters()).collect();
    all.sort_by_key(|(cost, _)| *cost);
    all.into_iter().map(|(_, reader)| reader).collect()
});

/// All readers, the cheap ones first.
pub fn readers() -> &'static [&'static dyn CounterReader] {
    &READERS
}

/// Reads the counters of one allocator.
pub trait CounterReader: Sync {
    /// Name of the allocator, as in its rows.
    fn name(&self) -> &'static str;

    /// Whether the process contains this allocator. If so, [`Self::read`] must return figures or a reason.
    fn applies(&self, process: &ProcessEvidence) -> bool;

    /// Reads the figures.
    ///
    /// # Errors
    /// [`Absent`] when they are not certain.
    fn read(&self, target: &mut Target<'_>) -> Result<Counters, Absent>;

    /// Makes the error of [`Self::read`].
    fn absent(&self, reason: impl Into<String>) -> Absent
    where
        Self: Sized,
    {
        Absent { allocator: self.name().to_owned(), reason: reason.into() }
    }
}

/// The process, as a reader may access it.
pub struct Target<'a> {
    /// Its memory.
    pub image: &'a mut dyn Image,
    /// Files in the process's root.
    pub files: &'a dyn Files,
    /// Evidence about its programs.
    pub process: &'a ProcessEvidence,
    /// Its regions, sorted by address.
    pub regions: &'a [Region],
    /// The owned ranges, sorted by address.
    pub owned: &'a [Owned],
}

impl<'a> Target<'a> {
    /// The region that contains an address.
    pub fn region(&self, address: u64) -> Option<&'a Region> {
        let after = self.regions.partition_point(|region| region.start <= address);
        self.regions.get(after.checked_sub(1)?).filter(|region| address < region.end)
    }

    /// The ranges of an allocator, sorted by address.
    pub fn ranges_of(&self, allocator: &str) -> impl Iterator<Item = &'a Owned> + use<'a, '_> {
        let allocator = allocator.to_owned();
        self.owned.iter().filter(move |owned| owned.owner.allocator == allocator)
    }
}

/// Runs every reader that applies, each with at least its share of the budget. Figures that the page tables contradict
/// become [`Absent`]. An allocator that owns no memory here is not reported as absent.
pub fn read_all(target: &mut Target<'_>) -> (Vec<Counters>, Vec<Absent>) {
    let (mut read, mut absent) = (Vec::new(), Vec::new());
    let readers: Vec<_> = readers().iter().filter(|reader| reader.applies(target.process)).collect();
    for (others, reader) in (0..readers.len() as u64).rev().zip(readers) {
        let left = target.image.left();
        let mut image = Share::new(target.image, left - left / (others + 1));
        let target = &mut Target { image: &mut image, ..*target };
        match reader.read(target).and_then(|counters| plausibility::check(target, counters)) {
            Ok(counters) => read.push(counters),
            Err(_) if target.ranges_of(reader.name()).next().is_none() => {}
            Err(reason) => absent.push(reason),
        }
    }
    // A server's bound is about the allocator that holds its data.
    if let Some(most) = read.iter_mut().max_by_key(|counters| counters.allocated_bytes) {
        most.settings.extend(launch::server::settings(target));
    }
    (read, absent)
}

/// The figures of one allocator in one process, mapped from its own terms to these. A figure that it does not have is
/// `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Name of the allocator, as in its rows.
    pub allocator: String,
    /// Version of the layout that was recognised, such as `2.36` or `5.3.1`.
    pub version: Option<String>,
    /// Handed to the program and not freed.
    pub allocated_bytes: Option<Bytes>,
    /// Free, but resident: dirty pages, caches, bins.
    pub free_resident_bytes: Option<Bytes>,
    /// Given back with `MADV_FREE`: resident until the kernel reclaims it.
    pub lazily_freed_bytes: Option<Bytes>,
    /// Mapped or reserved and not resident.
    pub retained_bytes: Option<Bytes>,
    /// The allocator's own data structures.
    pub metadata_bytes: Option<Bytes>,
    /// The largest error of `allocated_bytes` in either direction; 0 means exact.
    pub error_bytes: Option<Bytes>,
    /// Individual arenas, generations or heaps.
    pub arenas: Vec<ArenaCounters>,
    /// Its configuration as read, such as `background_thread` = `false`.
    pub settings: Vec<Setting>,
    /// How the figures were determined.
    pub grade: Grade,
    /// Why some figures are missing, in words.
    pub missing: Vec<String>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            allocator: String::new(),
            version: None,
            allocated_bytes: None,
            free_resident_bytes: None,
            lazily_freed_bytes: None,
            retained_bytes: None,
            metadata_bytes: None,
            error_bytes: None,
            arenas: Vec::new(),
            settings: Vec::new(),
            grade: Grade::Read,
            missing: Vec::new(),
        }
    }
}

/// One arena of an allocator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ArenaCounters {
    /// `main`, `arena 3`, `G1 old`.
    pub name: String,
    /// Handed to the program.
    pub allocated_bytes: Option<Bytes>,
    /// Free and resident.
    pub free_resident_bytes: Option<Bytes>,
    /// Obtained from the kernel.
    pub system_bytes: Option<Bytes>,
}

/// A configuration value that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Setting {
    /// The allocator's own name for it.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Why there are no counters, in words: `not sure which of two layouts it is`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{allocator}: {reason}")]
pub struct Absent {
    /// Name of the allocator.
    pub allocator: String,
    /// The reason.
    pub reason: String,
}

/// The results of all readers for one process, at one time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reading {
    /// When, ns since boot.
    pub at: u64,
    /// The counters that could be read.
    pub counters: Vec<Counters>,
    /// Those that could not.
    pub absent: Vec<Absent>,
}

impl Reading {
    /// An error above 1/`DOUBT` of the allocators' memory is worth another reading.
    const DOUBT: u64 = 10;

    /// The number of absent counters, and the sum of the errors, to compare readings.
    pub fn doubt(&self) -> (usize, u64) {
        let errors = self.counters.iter().filter_map(|counters| counters.error_bytes);
        (self.absent.len(), errors.map(|error| error.0).fold(0, u64::saturating_add))
    }

    /// Whether no counters are absent and the errors are small.
    pub fn is_good(&self) -> bool {
        let allocated = self.counters.iter().filter_map(|counters| counters.allocated_bytes);
        let allocated = allocated.map(|bytes| bytes.0).fold(0, u64::saturating_add);
        let (missing, error) = self.doubt();
        missing == 0 && error <= allocated / Self::DOUBT
    }
}
