//! One page on the memory of a process, a container or a pod: what it is charged for, what its allocators hold, what
//! would come back under pressure, and what to do.
//!
//! `&Snapshot`, insights and a few facts -> [`Explanation`] -> text or JSON. Pure. What is not known is said to be so;
//! sums close with a remainder that is shown.

mod allocators;
mod balance;
mod build;
pub mod facts;
mod picture;
mod pressure;
mod subject;
mod verdict;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    allocator::counters::{ArenaCounters, Setting},
    cgroup::memcg::Limit,
    units::{Bytes, Grade},
    verdict::Finding,
};

pub use self::{
    build::explain,
    facts::Facts,
    subject::{NotFound, Subject, find},
};

/// The version of [`Explanation`]'s JSON form.
pub const SCHEMA: u32 = 1;

/// The page, before it is laid out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// [`SCHEMA`].
    pub schema: u32,
    /// When the figures are from.
    pub time: Timestamp,
    /// What it is called.
    pub name: String,
    /// `process`, `container` or `pod`.
    pub kind: String,
    /// Its cgroups, escaped.
    pub cgroups: Vec<String>,
    /// Its processes, largest first.
    pub processes: Vec<Member>,
    /// What the kernel charges it; for a process, its resident memory.
    pub total_bytes: Option<Bytes>,
    /// The lowest limit that it is under, and whose.
    pub limit: Option<Limit>,
    /// The total by kind; with the remainder they add up to it.
    pub parts: Vec<Part>,
    /// In the total and in none of the parts. Below 0: the parts, which are read one after the other, say more.
    pub remainder_bytes: Option<i64>,
    /// What its allocators say.
    pub allocators: Vec<Holding>,
    /// What the kernel takes back when it needs memory.
    pub reclaimable: Vec<Part>,
    /// What it cannot, without swap.
    pub firm: Vec<Part>,
    /// Verdicts, most telling first.
    pub findings: Vec<Finding>,
    /// What is not known, and why.
    pub notes: Vec<String>,
}

/// A process of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Process id.
    pub pid: u32,
    /// Name, escaped.
    pub comm: String,
    /// Resident memory.
    pub rss_bytes: Option<Bytes>,
}

/// A part of a sum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// What it is.
    pub what: String,
    /// In plain words, where the name does not tell.
    pub means: String,
    /// How much.
    pub bytes: Bytes,
    /// How that is known.
    pub grade: Grade,
    /// What it is made of; they add up to it.
    pub parts: Vec<Part>,
}

impl Part {
    pub(crate) fn new(what: impl Into<String>, means: impl Into<String>, bytes: Bytes, grade: Grade) -> Self {
        Self { what: what.into(), means: means.into(), bytes, grade, parts: Vec::new() }
    }
}

/// What an allocator holds, in all processes of the target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Holding {
    /// Name of the allocator.
    pub allocator: String,
    /// Its version, where it is the same everywhere.
    pub version: Option<String>,
    /// How many processes have told.
    pub processes: usize,
    /// Resident in its ranges.
    pub resident_bytes: Bytes,
    /// Handed to the program and not freed.
    pub allocated_bytes: Option<Bytes>,
    /// How far that may be off; 0 for exact.
    pub error_bytes: Option<Bytes>,
    /// Free and resident all the same.
    pub free_resident_bytes: Option<Bytes>,
    /// Given back with `MADV_FREE`.
    pub lazily_freed_bytes: Option<Bytes>,
    /// Mapped and not resident.
    pub retained_bytes: Option<Bytes>,
    /// For itself.
    pub metadata_bytes: Option<Bytes>,
    /// Resident and in none of these; `None` where no counters were read.
    pub untold_bytes: Option<Bytes>,
    /// Arenas, heaps or generations.
    pub arenas: usize,
    /// What each of them holds, most first, where it is one process and more than one of them; the largest.
    pub by_arena: Vec<ArenaCounters>,
    /// Configuration that was seen, of its largest process.
    pub settings: Vec<Setting>,
    /// How the figures are known.
    pub grade: Grade,
    /// What they leave out.
    pub missing: Vec<String>,
    /// Why there are none.
    pub absent: Option<String>,
}
