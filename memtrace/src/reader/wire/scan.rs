//! A scan as it is sent: what to read, and what was read.
//!
//! [`model::scan::Depth`] and [`model::scan::Scan`] <-> messages. Unpacking rejects what is out of order.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::regions::{Distance, Regions};
use crate::{
    allocator::{counters::Reading, evidence::ProcessEvidence, image::process::Budget},
    mm::{
        page_table::{self, Found},
        process::Resident,
        region::{Backing, Prot, Region, VmFlags},
        residency::Measured,
        smaps::{Mapping, Usage},
    },
    model,
    reader::scan::{self, Plan},
    units::Bytes,
};

/// What to read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Depth {
    /// [`model::scan::Depth::Regions`].
    Regions,
    /// [`model::scan::Depth::Mappings`].
    Mappings,
    /// [`model::scan::Depth::Pages`].
    Pages {
        /// The ranges.
        parts: Vec<Part>,
        /// Sent only if evidence must be collected. Otherwise it is needed only for counters, which small processes do
        /// not have.
        detail: Option<Detail>,
    },
}

/// A range whose pages to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    gap: u64,
    len: u64,
    is_counted: bool,
}

/// What is needed for evidence and counters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detail {
    /// The regions of the process.
    regions: Regions,
    /// The known evidence; `None` when it must be collected.
    evidence: Option<Arc<ProcessEvidence>>,
}

/// A new scan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Begin {
    /// What to read.
    pub depth: Depth,
    /// The most bytes that are copied for counters.
    bytes: u64,
    /// The most time for counters.
    time: Duration,
    /// The most tries to read them.
    pub tries: u32,
}

impl Begin {
    /// Packs a request.
    pub fn pack(depth: &model::scan::Depth, counters: Budget, tries: u32) -> Self {
        let depth = match depth {
            model::scan::Depth::Regions => Depth::Regions,
            model::scan::Depth::Mappings => Depth::Mappings,
            model::scan::Depth::Pages { parts, regions, evidence } => Depth::Pages {
                parts: pack_parts(parts),
                detail: evidence.is_none().then(|| Detail::pack(regions, None)),
            },
        };
        Self { depth, bytes: counters.bytes, time: counters.time, tries }
    }

    /// The budget for counters.
    pub const fn counters(&self) -> Budget {
        Budget { bytes: self.bytes, time: self.time }
    }

    /// What to read; `None` when a range is invalid.
    pub fn plan(self) -> Option<Plan> {
        Some(match self.depth {
            Depth::Regions => Plan::Regions,
            Depth::Mappings => Plan::Mappings,
            Depth::Pages { parts, detail } => Plan::Pages {
                parts: unpack_parts(&parts)?,
                detail: match detail {
                    Some(detail) => Some(detail.unpack()?),
                    None => None,
                },
            },
        })
    }
}

impl Detail {
    /// Packs regions and evidence.
    pub fn pack(regions: &[Region], evidence: Option<&Arc<ProcessEvidence>>) -> Self {
        Self { regions: Regions::pack(regions), evidence: evidence.map(Arc::clone) }
    }

    /// Regions and evidence; `None` when a region is invalid.
    pub fn unpack(self) -> Option<scan::Detail> {
        Some(scan::Detail { regions: self.regions.unpack()?, evidence: self.evidence })
    }
}

/// Packs ranges.
fn pack_parts(parts: &[Region]) -> Vec<Part> {
    let mut distance = Distance::default();
    let pack = |part: &Region| {
        let (gap, len) = distance.pack(part.start, part.end);
        Part { gap, len, is_counted: page_table::is_counted(part) }
    };
    parts.iter().map(pack).collect()
}

/// The ranges, as regions that are counted or not; `None` when one is invalid.
fn unpack_parts(parts: &[Part]) -> Option<Vec<Region>> {
    let mut distance = Distance::default();
    let unpack = |part: &Part| {
        let (start, end) = distance.unpack_sorted(part.gap, part.len)?;
        let flags = VmFlags::default().with(VmFlags::PFN_MAP, !part.is_counted);
        Some(Region { vm_flags: Some(flags), ..Region::new(start, end, Prot::NONE, Backing::Anonymous) })
    };
    parts.iter().map(unpack).collect()
}

/// [`Found`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PackedFound {
    gap: u64,
    len: u64,
    resident: Bytes,
    lazy_free: Option<Bytes>,
    swapped: Option<Bytes>,
    pss: Option<Bytes>,
    file: Option<Bytes>,
    huge: Option<Bytes>,
}

/// [`model::scan::Scan`], without the pid, which the daemon knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scan {
    begun: u64,
    at: u64,
    resident: Option<Resident>,
    is_bare: bool,
    regions: Regions,
    usages: Vec<Usage>,
    parts: Vec<PackedFound>,
    outside: Bytes,
    evidence: Option<Arc<ProcessEvidence>>,
    reading: Option<Reading>,
    took: Duration,
}

impl Scan {
    /// Packs a scan.
    pub fn pack(scan: &model::scan::Scan) -> Self {
        let mut distance = Distance::default();
        let parts = scan.parts.iter().map(|found| {
            let (gap, len) = distance.pack(found.start, found.end);
            let Measured { resident, lazy_free, swapped, pss } = found.measured;
            PackedFound { gap, len, resident, lazy_free, swapped, pss, file: found.file, huge: found.huge }
        });
        Self {
            begun: scan.begun,
            at: scan.at,
            resident: scan.resident,
            is_bare: scan.is_bare,
            regions: Regions::pack(scan.mappings.iter().map(|mapping| &mapping.region)),
            // A list of mappings without their pages has no usage.
            usages: if scan.is_bare {
                Vec::new()
            } else {
                scan.mappings.iter().map(|mapping| mapping.usage).collect()
            },
            parts: parts.collect(),
            outside: scan.outside,
            evidence: scan.evidence.clone(),
            reading: scan.reading.clone(),
            took: scan.took,
        }
    }

    /// The scan of this process; `None` when it is invalid.
    pub fn unpack(self, pid: u32) -> Option<model::scan::Scan> {
        let regions = self.regions.unpack()?;
        if self.usages.len() != if self.is_bare { 0 } else { regions.len() } {
            return None;
        }
        let usages = self.usages.into_iter().chain(std::iter::repeat(Usage::default()));
        let mappings = regions.into_iter().zip(usages).map(|(region, usage)| Mapping { region, usage });
        let mut distance = Distance::default();
        let found = |found: PackedFound| {
            let PackedFound { gap, len, resident, lazy_free, swapped, pss, file, huge } = found;
            let (start, end) = distance.unpack_sorted(gap, len)?;
            Some(Found { start, end, measured: Measured { resident, lazy_free, swapped, pss }, file, huge })
        };
        Some(model::scan::Scan {
            pid,
            begun: self.begun,
            at: self.at,
            resident: self.resident,
            is_bare: self.is_bare,
            mappings: mappings.collect(),
            parts: self.parts.into_iter().map(found).collect::<Option<_>>()?,
            outside: self.outside,
            evidence: self.evidence,
            reading: self.reading,
            took: self.took,
            not_read: None,
        })
    }
}
