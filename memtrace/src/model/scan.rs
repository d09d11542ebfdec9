//! What is asked of the page tables and programs of a process, and what a look at them gave.
//!
//! Messages between the model and whoever reads. Must not read anything itself.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    allocator::{counters::Reading, evidence::ProcessEvidence},
    mm::{page_table::Found, process::Resident, region::Region, smaps::Mapping},
    units::Bytes,
};

/// What to read of a process.
#[derive(Clone, Debug)]
pub enum Depth {
    /// Its mappings, and nothing of their pages: 1 µs a mapping.
    Regions,
    /// Its mappings, and all that smaps tells of each: some 5 ms a resident GiB and 10 µs a mapping.
    Mappings,
    /// How much of these ranges is resident, by `PAGEMAP_SCAN`: 3 ms a resident GiB. Without that call it is as above.
    Pages {
        /// The ranges, as parts of regions.
        parts: Vec<Region>,
        /// The regions that they are parts of.
        regions: Vec<Region>,
        /// What is known of its programs and memory; `None` when these are to be looked at again.
        evidence: Option<Arc<ProcessEvidence>>,
    },
}

/// A process to read.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which.
    pub pid: u32,
    /// What of it.
    pub depth: Depth,
}

/// What the scanner is told.
#[derive(Clone, Debug)]
pub enum Order {
    /// Read this process.
    Read(Request),
    /// Read this one before all others, if it is to be read: it may be dead soon.
    Hurry(u32),
}

/// What one look at a process gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scan {
    /// Which.
    pub pid: u32,
    /// When the page tables began to be read, ns since boot.
    pub begun: u64,
    /// When they were read to the end, ns since boot: events after that are not in it.
    pub at: u64,
    /// What the kernel counted as resident then; `None` when it was not asked.
    #[serde(default)]
    pub resident: Option<Resident>,
    /// The mappings are without their pages.
    #[serde(default)]
    pub is_bare: bool,
    /// The mappings, when those were asked for; empty when the process is gone or may not be read.
    pub mappings: Vec<Mapping>,
    /// What the ranges hold, when those were asked for.
    #[serde(default)]
    pub parts: Vec<Found>,
    /// Resident in none of the ranges.
    #[serde(default)]
    pub outside: Bytes,
    /// What is in its programs; `None` when that was not asked for.
    pub evidence: Option<Arc<ProcessEvidence>>,
    /// What its allocators' counters said; `None` when they were not asked.
    #[serde(default)]
    pub reading: Option<Reading>,
    /// How long it took.
    pub took: Duration,
}

impl Scan {
    /// True when the process is gone or may not be read.
    pub const fn is_empty(&self) -> bool {
        self.mappings.is_empty() && self.parts.is_empty()
    }
}
