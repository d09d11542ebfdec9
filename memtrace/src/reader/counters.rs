//! Reads the allocators' counters of a scanned process, with a budget that grows until it is enough.
//!
//! Input: a scan without counters. Output: the scan with the best reading. Each call makes one try, so that other jobs
//! can run in between.

use std::{sync::Arc, time::Instant};

use crate::{
    allocator::{
        attribute,
        counters::{self, Reading, Target},
        evidence::ProcessEvidence,
        image::{
            process::{Budget, Process},
            root::Root,
        },
    },
    clock,
    mm::{procfs::Procfs, region::Region},
    model::scan::Scan,
};

/// A reading that used less than 1/`OF_BUDGET` of its budget failed for another reason.
const OF_BUDGET: u32 = 8;

pub(super) struct Counting {
    /// The scan without counters; `None` once it was taken.
    pub(super) scan: Option<Scan>,
    pub(super) process: Arc<ProcessEvidence>,
    /// The regions; empty if the scan has them.
    pub(super) regions: Vec<Region>,
    /// The budget of the next try. Idle pages can be slow to copy, 30 µs per page and more, if a hypervisor or a slower
    /// memory tier has them.
    pub(super) budget: Budget,
    /// Remaining tries.
    pub(super) tries: u32,
}

impl Counting {
    /// Tries once. Returns the scan, unless another try may be better.
    pub(super) fn once(&mut self, procfs: &Procfs) -> Option<Scan> {
        let begun = Instant::now();
        let reading = self.read(procfs);
        let is_over =
            reading.as_ref().is_none_or(Reading::is_good) || begun.elapsed() < self.budget.time / OF_BUDGET;
        let scan = self.scan.as_mut()?;
        let is_better = |new: &Reading| scan.reading.as_ref().is_none_or(|old| new.doubt() < old.doubt());
        if let Some(new) = reading.filter(is_better) {
            scan.reading = Some(new);
        }
        self.tries = self.tries.saturating_sub(1);
        self.budget.time = self.budget.time.saturating_mul(2);
        if is_over || self.tries == 0 { self.scan.take() } else { None }
    }

    /// `None` for a process that is gone.
    fn read(&self, procfs: &Procfs) -> Option<Reading> {
        let scan = self.scan.as_ref()?;
        let (pid, regions) = (scan.pid, scan.mappings.regions());
        let regions = if regions.is_empty() { &self.regions } else { regions };
        let owned = attribute(&self.process, regions);
        let at = clock::ktime();
        let mut image = Process::open(procfs, pid, self.budget).ok()?;
        let files = Root::open(procfs, pid);
        let mut target =
            Target { image: &mut image, files: &files, process: &self.process, regions, owned: &owned };
        let (counters, absent) = counters::read_all(&mut target);
        Some(Reading { at, counters, absent })
    }
}
