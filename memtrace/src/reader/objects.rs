//! What fills the heaps of a process, by type.
//!
//! /proc and a pid -> [`Census`]. Bounded in bytes and processor time. Opens files of the process, so only a reader may
//! call it.

use std::time::Duration;

use super::NotRead;
use crate::{
    allocator::{
        attribute,
        counters::Target,
        evidence::read,
        image::{
            process::{Budget, Process},
            root::Root,
        },
        objects::{self, Census},
    },
    clock,
    mm::{procfs::Procfs, region::Region, smaps},
};

/// The budget of one census.
const BUDGET: Budget = Budget { bytes: 64 << 20, time: Duration::from_millis(250) };
/// The most mappings of a process whose objects are read.
const MOST_REGIONS: usize = 1 << 16;

/// Takes a census.
///
/// # Errors
/// When the process is gone or may not be read, or has too many mappings.
pub(super) fn census(procfs: &Procfs, evidence: &mut read::Reader, pid: u32) -> Result<Census, NotRead> {
    // Only smaps says which memory is reserved without swap space (`nr`), by which HotSpot's heap is known.
    let mappings = smaps::read(procfs, pid).map_err(|_| NotRead::Gone)?.mappings;
    if mappings.len() > MOST_REGIONS {
        return Err(NotRead::TooLarge);
    }
    let regions: Vec<Region> = mappings.into_iter().map(|mapping| mapping.region).collect();
    let process = evidence.gather(pid, &regions);
    let owned = attribute(&process, &regions);
    let at = clock::ktime();
    let mut image = Process::open(procfs, pid, BUDGET).map_err(|_| NotRead::Gone)?;
    let files = Root::open(procfs, pid);
    let mut target =
        Target { image: &mut image, files: &files, process: &process, regions: &regions, owned: &owned };
    let (heaps, absent) = objects::read_all(&mut target);
    Ok(Census { at, heaps, absent })
}
