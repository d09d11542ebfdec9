//! Requests to scan the page tables and programs of a process, and the results.
//!
//! Messages between the model and the scanner. Must not read anything itself.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    allocator::{counters::Reading, evidence::ProcessEvidence},
    mm::{listing::Mappings, page_table::Found, process::Resident, region::Region},
    units::Bytes,
};

/// What to read of a process.
#[derive(Clone, Debug)]
pub enum Depth {
    /// Its mappings without their pages: 1 µs per mapping.
    Regions,
    /// Its mappings, with all fields of smaps: about 5 ms per resident GiB and 10 µs per mapping.
    Mappings,
    /// The resident memory of ranges, by `PAGEMAP_SCAN`: 3 ms per resident GiB. On kernels without it, the same as
    /// `Mappings`.
    Pages {
        /// The ranges, as parts of regions.
        parts: Vec<Region>,
        /// The regions that contain the ranges.
        regions: Vec<Region>,
        /// The known evidence about its programs and memory; `None` when it must be collected again.
        evidence: Option<Arc<ProcessEvidence>>,
    },
}

/// A process to read.
#[derive(Clone, Debug)]
pub struct Request {
    /// Id of the process.
    pub pid: u32,
    /// What to read of it.
    pub depth: Depth,
    /// The most memory that the list of its mappings may take.
    pub room: Bytes,
}

/// An order to the scanner.
#[derive(Clone, Debug)]
pub enum Order {
    /// Read this process.
    Read(Request),
    /// If this process is in the queue, read it first: it may be dead soon.
    Hurry(u32),
}

/// The size of a list of mappings that was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Over {
    /// Number of mappings.
    pub mappings: u64,
    /// Memory that their list takes.
    pub list: Bytes,
}

/// The result of one scan of a process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scan {
    /// Id of the process.
    pub pid: u32,
    /// Start of the read of the page tables, ns since boot.
    pub begun: u64,
    /// End of that read, ns since boot: later events are not included.
    pub at: u64,
    /// The kernel's RSS at that time; `None` when not read.
    #[serde(default)]
    pub resident: Option<Resident>,
    /// Whether the mappings are without their pages.
    #[serde(default)]
    pub is_bare: bool,
    /// The mappings, if requested; empty when the process is gone or may not be read.
    pub mappings: Mappings,
    /// The size of the list of mappings, if it is more than the room: the list was not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<Over>,
    /// The measurements of the ranges, if requested.
    #[serde(default)]
    pub parts: Vec<Found>,
    /// Resident bytes outside the ranges.
    #[serde(default)]
    pub outside: Bytes,
    /// The evidence about its programs and memory; `None` when not requested.
    pub evidence: Option<Arc<ProcessEvidence>>,
    /// The reading of its allocators' counters; `None` when not requested.
    #[serde(default)]
    pub reading: Option<Reading>,
    /// Duration of the scan.
    pub took: Duration,
    /// Why nobody could read it, although it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_read: Option<String>,
}

impl Scan {
    /// A scan that found nothing.
    pub fn empty(pid: u32) -> Self {
        Self {
            pid,
            begun: 0,
            at: 0,
            resident: None,
            is_bare: false,
            mappings: Mappings::default(),
            over: None,
            parts: Vec::new(),
            outside: Bytes(0),
            evidence: None,
            reading: None,
            took: Duration::ZERO,
            not_read: None,
        }
    }

    /// True when the process is gone or may not be read.
    pub fn is_empty(&self) -> bool {
        self.mappings.is_empty() && self.parts.is_empty() && self.over.is_none()
    }
}
