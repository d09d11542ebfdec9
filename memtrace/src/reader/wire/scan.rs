//! A scan as it is sent: what to read, and what was read.
//!
//! [`model::scan::Depth`] and [`model::scan::Scan`] <-> messages. Unpacking rejects what is out of order.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::regions::{Distance, Regions};
use crate::{
    allocator::{counters::Reading, evidence::ProcessEvidence, image::process::Budget},
    mm::{
        listing::Mappings,
        page_table::{self, Found},
        process::Resident,
        region::{Backing, Prot, Region, VmFlags},
        residency::Measured,
    },
    model::{
        self,
        scan::{Over, Request},
    },
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
    /// The most memory that the list of mappings may take.
    pub room: Bytes,
    /// The most bytes that are copied for counters.
    bytes: u64,
    /// The most time for counters.
    time: Duration,
    /// The most tries to read them.
    pub tries: u32,
}

impl Begin {
    /// Packs a request.
    pub fn pack(request: &Request, counters: Budget, tries: u32) -> Self {
        let depth = match &request.depth {
            model::scan::Depth::Regions => Depth::Regions,
            model::scan::Depth::Mappings => Depth::Mappings,
            model::scan::Depth::Pages { parts, regions, evidence } => Depth::Pages {
                parts: pack_parts(parts),
                detail: evidence.is_none().then(|| Detail::pack(regions, None)),
            },
        };
        Self { depth, room: request.room, bytes: counters.bytes, time: counters.time, tries }
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

/// [`Measured`], without fields that are left out: this form has no names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PackedMeasured {
    resident: Bytes,
    lazy_free: Option<Bytes>,
    swapped: Option<Bytes>,
    pss: Option<Bytes>,
}

impl From<Measured> for PackedMeasured {
    fn from(Measured { resident, lazy_free, swapped, pss }: Measured) -> Self {
        Self { resident, lazy_free, swapped, pss }
    }
}

impl From<PackedMeasured> for Measured {
    fn from(PackedMeasured { resident, lazy_free, swapped, pss }: PackedMeasured) -> Self {
        Self { resident, lazy_free, swapped, pss }
    }
}

/// [`Found`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PackedFound {
    gap: u64,
    len: u64,
    measured: PackedMeasured,
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
    /// One for each region; none in a list of mappings without their pages.
    measured: Vec<Option<PackedMeasured>>,
    over: Option<Over>,
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
            PackedFound { gap, len, measured: found.measured.into(), file: found.file, huge: found.huge }
        });
        Self {
            begun: scan.begun,
            at: scan.at,
            resident: scan.resident,
            is_bare: scan.is_bare,
            regions: Regions::pack(scan.mappings.regions()),
            measured: if scan.is_bare {
                Vec::new()
            } else {
                scan.mappings.measurements().iter().map(|of| of.map(Into::into)).collect()
            },
            over: scan.over,
            parts: parts.collect(),
            outside: scan.outside,
            evidence: scan.evidence.clone(),
            reading: scan.reading.clone(),
            took: scan.took,
        }
    }

    /// The scan of this process, whose list of mappings had this room; `None` when it is invalid.
    pub fn unpack(self, pid: u32, room: Bytes) -> Option<model::scan::Scan> {
        let count = self.regions.len();
        let is_too_large = (count as u64).saturating_mul(Mappings::EACH) > room.0;
        if is_too_large || self.measured.len() != if self.is_bare { 0 } else { count } {
            return None;
        }
        let mut measured: Vec<Option<Measured>> =
            self.measured.into_iter().map(|of| of.map(Into::into)).collect();
        measured.resize(count, None);
        let mut distance = Distance::default();
        let found = |found: PackedFound| {
            let PackedFound { gap, len, measured, file, huge } = found;
            let (start, end) = distance.unpack_sorted(gap, len)?;
            Some(Found { start, end, measured: measured.into(), file, huge })
        };
        Some(model::scan::Scan {
            pid,
            begun: self.begun,
            at: self.at,
            resident: self.resident,
            is_bare: self.is_bare,
            mappings: Mappings::of(self.regions.unpack()?, measured)?,
            over: self.over,
            parts: self.parts.into_iter().map(found).collect::<Option<_>>()?,
            outside: self.outside,
            evidence: self.evidence,
            reading: self.reading,
            took: self.took,
            not_read: None,
        })
    }
}
