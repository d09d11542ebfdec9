//! One page on the memory of a process, a container or a pod: its charge, what its allocators hold, what is
//! reclaimable, and what to do.
//!
//! `&Snapshot`, insights and a few facts -> [`Explanation`] -> text or JSON. Pure. Unknown values are reported as
//! unknown; sums are closed by a remainder that is shown.

mod allocators;
pub mod alone;
mod balance;
mod build;
mod coverage;
pub mod facts;
pub mod fresh;
mod growth;
pub mod objects;
mod picture;
mod pressure;
mod subject;
mod verdict;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    allocator::{
        counters::{Absent, ArenaCounters, Setting},
        objects::Objects,
    },
    cgroup::memcg::Limit,
    snapshot::GrowthStack,
    units::{Bytes, Grade},
    verdict::{Finding, growth::Ended},
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
    /// Time of the figures.
    pub time: Timestamp,
    /// Name of the target.
    pub name: String,
    /// `process`, `container` or `pod`.
    pub kind: String,
    /// Its cgroups, escaped.
    pub cgroups: Vec<String>,
    /// Its processes, largest first.
    pub processes: Vec<Member>,
    /// The kernel's charge; for a process, its resident memory.
    pub total_bytes: Option<Bytes>,
    /// The lowest limit that applies to it, and the owner of that limit.
    pub limit: Option<Limit>,
    /// The total by kind; with the remainder they add up to it.
    pub parts: Vec<Part>,
    /// The total minus all parts. Below 0 when the parts, which are read one after the other, exceed the total.
    pub remainder_bytes: Option<i64>,
    /// What its allocators hold, from their own counters.
    pub allocators: Vec<Holding>,
    /// What the kernel can reclaim.
    pub reclaimable: Vec<Part>,
    /// What it cannot reclaim without swap.
    pub firm: Vec<Part>,
    /// Seconds between the oldest reading of the charge by kind in these figures and `time`.
    #[serde(default)]
    pub charge_age_seconds: Option<f64>,
    /// The same for the page tables of its processes.
    #[serde(default)]
    pub scan_age_seconds: Option<f64>,
    /// How it grows; `None` when too little is known.
    #[serde(default)]
    pub growth: Option<Growth>,
    /// What fills the heaps of its largest processes, by type; empty unless asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<Filled>,
    /// Findings, most important first.
    pub findings: Vec<Finding>,
    /// What is not known, and why.
    pub notes: Vec<String>,
}

/// How a target grows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Growth {
    /// Bytes per second; negative when it shrinks.
    pub bytes_per_second: f64,
    /// Seconds until firm memory reaches the limit at that rate.
    pub seconds_to_limit: Option<f64>,
    /// Growth that has ended; the rate is that of the time since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// What it has taken since it began, where that is too short ago for a rate of its own; the rate is the mean since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_start: Option<SinceStart>,
    /// The call stacks that touched most new memory, the largest first.
    pub stacks: Vec<Grown>,
}

/// What a target has taken since it began.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SinceStart {
    /// Its resident memory.
    pub bytes: Bytes,
    /// Age of its oldest process.
    pub seconds: f64,
}

/// A call stack that grows, and whose it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grown {
    /// The process.
    pub pid: u32,
    /// Its name, escaped.
    pub comm: String,
    /// The stack; without names of functions until they were looked up.
    pub stack: GrowthStack,
}

/// What fills the heaps of one process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Filled {
    /// The process.
    pub pid: u32,
    /// Its name, escaped.
    pub comm: String,
    /// When its heaps were read; `None` if they were not.
    pub time: Option<Timestamp>,
    /// When they were read before: the growth of a type is that since then. `None` when they were read once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Timestamp>,
    /// Its heaps.
    pub heaps: Vec<Objects>,
    /// Heaps without figures, and why.
    pub absent: Vec<Absent>,
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
    /// An explanation, if the name alone is not clear; else empty.
    pub means: String,
    /// How much.
    pub bytes: Bytes,
    /// How the figure was determined.
    pub grade: Grade,
    /// Its parts, which add up to it.
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
    /// Its version, if it is the same in all processes.
    pub version: Option<String>,
    /// Number of processes whose counters were read.
    pub processes: usize,
    /// Resident in its ranges.
    pub resident_bytes: Bytes,
    /// Handed to the program and not freed.
    pub allocated_bytes: Option<Bytes>,
    /// The largest error of `allocated_bytes`; 0 for exact.
    pub error_bytes: Option<Bytes>,
    /// Free, but resident.
    pub free_resident_bytes: Option<Bytes>,
    /// Given back with `MADV_FREE`.
    pub lazily_freed_bytes: Option<Bytes>,
    /// Mapped and not resident.
    pub retained_bytes: Option<Bytes>,
    /// The allocator's own data structures.
    pub metadata_bytes: Option<Bytes>,
    /// Resident, and in none of these figures; `None` when no counters were read.
    pub untold_bytes: Option<Bytes>,
    /// The part of `untold_bytes` that huge pages may have filled, at most; `None` when not known, or when the figures
    /// cover the memory.
    #[serde(default)]
    pub huge_fill_bytes: Option<Bytes>,
    /// When the counters were read; the oldest reading of several processes. The figures are of that instant.
    #[serde(default)]
    pub counters_read: Option<Timestamp>,
    /// Arenas, heaps or generations.
    pub arenas: usize,
    /// The largest arenas, largest first, if there is one process with more than one arena.
    pub by_arena: Vec<ArenaCounters>,
    /// Configuration found in the largest process.
    pub settings: Vec<Setting>,
    /// How the figures were determined.
    pub grade: Grade,
    /// What the figures do not include.
    pub missing: Vec<String>,
    /// Why there are no figures.
    pub absent: Option<String>,
}
