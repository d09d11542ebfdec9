//! Counters that are read again by time: `free` is silent, so a process without events need not be at rest.
//!
//! Readings and the time -> the process whose counters are oldest. Pure. All of it takes a hundredth of one CPU at most.

use std::collections::HashMap;

use super::tracked::Tracked;
use crate::model::scan::Scan;

/// The age from which counters are read again, in ns.
const OLD: u64 = 30_000_000_000;
/// After a scan for this reason there is none for so many times as long.
const REST: u64 = 100;

/// The scans for this reason.
#[derive(Default)]
pub(super) struct Reread {
    /// The process that is being read.
    pid: Option<u32>,
    /// When the next may be read, ns since boot.
    next: u64,
}

impl Reread {
    /// The process to read, the one with the oldest counters, unless it is not time yet.
    pub(super) fn due(
        &self,
        tracked: &HashMap<u32, Tracked>,
        is_under_way: impl Fn(u32) -> bool,
        now: u64,
    ) -> Option<u32> {
        if now < self.next || self.pid.is_some_and(&is_under_way) {
            return None;
        }
        let read = |(pid, of): (&u32, &Tracked)| Some((of.attribution.reading.as_ref()?.at, *pid));
        let old = tracked
            .iter()
            .filter_map(read)
            .filter(|(at, pid)| at.saturating_add(OLD) <= now && !is_under_way(*pid));
        old.min().map(|(_, pid)| pid)
    }

    /// Notes that this process was requested.
    pub(super) fn begun(&mut self, pid: u32, now: u64) {
        // If it could not be read, it is not tried again all the time.
        (self.pid, self.next) = (Some(pid), now.saturating_add(OLD / REST));
    }

    /// Takes the time of its scan.
    pub(super) fn done(&mut self, scan: &Scan) {
        if self.pid.take_if(|pid| *pid == scan.pid).is_some() {
            let took = u64::try_from(scan.took.as_nanos()).unwrap_or(u64::MAX);
            self.next = self.next.max(scan.at.saturating_add(took.saturating_mul(REST)));
        }
    }
}
