//! What an allocator's own counters say: how much of its memory is in use, and how much it merely keeps.
//!
//! Input: an [`Image`] of a process's memory, and what is known of its programs. Output: [`Counters`], or why there are
//! none. Nothing here may stop the process, or bring a page in that is not there. What is read is hostile: cycles,
//! giant counts, pointers anywhere, and it changes under the reader.

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
pub mod plausibility;
pub mod sampling;
mod share;

use share::Share;

/// What a reading costs. All share a budget: first those that need next to none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cost {
    /// Some words.
    Figures,
    /// A walk over its books, which grow with its heap.
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

    /// Whether the process has this allocator in it. A reader that applies must answer, with figures or a reason.
    fn applies(&self, process: &ProcessEvidence) -> bool;

    /// The figures.
    ///
    /// # Errors
    /// [`Absent`] when it is not sure of them.
    fn read(&self, target: &mut Target<'_>) -> Result<Counters, Absent>;

    /// For [`Self::read`] to say why not.
    fn absent(&self, reason: impl Into<String>) -> Absent
    where
        Self: Sized,
    {
        Absent { allocator: self.name().to_owned(), reason: reason.into() }
    }
}

/// What a reader may look at.
pub struct Target<'a> {
    /// Its memory.
    pub image: &'a mut dyn Image,
    /// Files as it sees them.
    pub files: &'a dyn Files,
    /// What is in its programs.
    pub process: &'a ProcessEvidence,
    /// Its regions, in order of address.
    pub regions: &'a [Region],
    /// Whose they are, in order of address.
    pub owned: &'a [Owned],
}

impl<'a> Target<'a> {
    /// The ranges of an allocator, in order of address.
    pub fn ranges_of(&self, allocator: &str) -> impl Iterator<Item = &'a Owned> + use<'a, '_> {
        let allocator = allocator.to_owned();
        self.owned.iter().filter(move |owned| owned.owner.allocator == allocator)
    }
}

/// Asks every reader that applies, each with its share of the budget at least. What a reader says and the page tables
/// contradict is absent; an allocator that owns nothing here is not missed.
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
    (read, absent)
}

/// What one allocator says of its memory in one process. Figures are the allocator's, in its own terms brought to
/// these; what it does not tell is `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Name of the allocator, as in its rows.
    pub allocator: String,
    /// Version of the layout that was recognised, such as `2.36` or `5.3.1`.
    pub version: Option<String>,
    /// Handed to the program and not freed.
    pub allocated_bytes: Option<Bytes>,
    /// Free in the allocator's books and resident all the same: dirty, cached, in bins.
    pub free_resident_bytes: Option<Bytes>,
    /// Given back with `MADV_FREE`: resident until the kernel wants it.
    pub lazily_freed_bytes: Option<Bytes>,
    /// Mapped or reserved and not resident.
    pub retained_bytes: Option<Bytes>,
    /// What the allocator needs for itself.
    pub metadata_bytes: Option<Bytes>,
    /// How far `allocated_bytes` may be from the truth, either way; 0 where the atlas says exact.
    pub error_bytes: Option<Bytes>,
    /// Single arenas, generations or heaps.
    pub arenas: Vec<ArenaCounters>,
    /// What its configuration was seen to be, such as `background_thread` = `false`.
    pub settings: Vec<Setting>,
    /// How the figures are known.
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

/// What all readers said of one process, at one time.
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
    /// Of all that the allocators have, the part whose doubt is worth another look.
    const DOUBT: u64 = 10;

    /// How far the figures may be off, those that are missing first.
    pub fn doubt(&self) -> (usize, u64) {
        let errors = self.counters.iter().filter_map(|counters| counters.error_bytes);
        (self.absent.len(), errors.map(|error| error.0).fold(0, u64::saturating_add))
    }

    /// Whether nothing is missing, and little is in doubt.
    pub fn is_good(&self) -> bool {
        let allocated = self.counters.iter().filter_map(|counters| counters.allocated_bytes);
        let allocated = allocated.map(|bytes| bytes.0).fold(0, u64::saturating_add);
        let (missing, error) = self.doubt();
        missing == 0 && error <= allocated / Self::DOUBT
    }
}
