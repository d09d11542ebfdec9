//! True peaks: the highest total since the last tick, even if it has fallen again.
//!
//! Input: an address space as events change it, and the kernel's high-water marks. Output: [`Total`] and its parts. A
//! mark covers a whole lifetime, so it gives this tick's peak only if it rose since the last tick. Otherwise the
//! estimate from sampled faults and releases is used, limited by the mark. Pure.

pub mod ticks;

use std::{collections::HashMap, hash::Hash};

use crate::{
    ingest::decode::{Event, SpaceEvent},
    mm::{address_space::AddressSpace, spare},
    units::{Bytes, Grade},
};

/// The least rise of a sum, in bytes, for which its parts are kept.
const WORTH: u64 = 1 << 20;

/// The highest sum of a space since the last tick.
#[derive(Clone, Debug, Default)]
pub struct ProcessPeak {
    start: u64,
    high: u64,
    at: u64,
    /// The space before it fell from its highest sum, exact to a twentieth.
    kept: Option<Box<AddressSpace>>,
}

impl ProcessPeak {
    /// Begins at the current sum of a space.
    pub fn new(space: &AddressSpace) -> Self {
        let sum = space.totals().resident.0;
        Self { start: sum, high: sum, at: 0, kept: None }
    }

    /// Call before an event changes the space. Keeps a copy before an event that may release pages.
    pub fn before(&mut self, event: &Event, space: &AddressSpace) {
        let is_release = match event {
            Event::Space(event) => matches!(
                event,
                SpaceEvent::Munmap(_)
                    | SpaceEvent::Madvise(_)
                    | SpaceEvent::Brk(_)
                    | SpaceEvent::Mremap(_)
                    | SpaceEvent::Mmap(_)
            ),
            Event::Task(_) | Event::Cgroup(_) | Event::Kill(_) => false,
        };
        let sum = space.totals().resident.0;
        let kept = self.kept.as_ref().map_or(self.start, |kept| kept.totals().resident.0);
        if is_release && sum >= kept.saturating_add(WORTH.max(kept / 20)) {
            self.kept = Some(Box::new(space.clone()));
        }
    }

    /// Call after the event has changed the space.
    pub fn after(&mut self, event: &Event, space: &AddressSpace) {
        let sum = space.totals().resident.0;
        if sum > self.high {
            (self.high, self.at) = (sum, event.header().ktime);
        }
    }

    /// A measurement corrected the sum from `was` to `is`: corrects the earlier sums by the same amount.
    pub fn correct(&mut self, was: u64, is: u64) {
        let corrected = |sum: u64| (sum + is).saturating_sub(was);
        (self.start, self.high) = (corrected(self.start), corrected(self.high).max(is));
    }

    /// The estimate was adjusted to the kernel's total: a surplus never existed, so it is removed from the peak.
    pub fn close(&mut self, was: u64, is: u64) {
        self.high = self.high.saturating_sub(was.saturating_sub(is)).max(self.start).max(is);
    }

    /// The rise above the start, and when; `None` without a rise.
    pub fn rise(&self) -> Option<(u64, u64)> {
        let rise = self.high.saturating_sub(self.start);
        (rise > 0).then_some((rise, self.at))
    }

    /// Number of regions of the kept space.
    pub fn regions(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.len())
    }

    /// Bytes of memory that the kept space uses.
    pub fn footprint(&self) -> u64 {
        self.kept.as_ref().map_or(0, |kept| kept.footprint().0)
    }

    /// The space at its highest sum, if it has fallen since.
    pub fn kept(&self, now: &AddressSpace) -> Option<&AddressSpace> {
        let kept = self.kept.as_deref()?;
        (kept.totals().resident > now.totals().resident).then_some(kept)
    }
}

/// The highest sum over a group's processes since the last tick.
#[derive(Clone, Copy, Debug, Default)]
pub struct GroupPeak {
    now: i64,
    high: i64,
    at: u64,
}

impl GroupPeak {
    /// A process of the group changed from `was` to `is` bytes.
    pub fn change(&mut self, was: u64, is: u64, at: u64) {
        self.now = self.now.saturating_add_unsigned(is).saturating_sub_unsigned(was);
        if self.now > self.high {
            (self.high, self.at) = (self.now, at);
        }
    }

    /// A process's estimate was adjusted to the kernel's total: a surplus never existed, so it is removed from the
    /// peak.
    pub fn close(&mut self, was: u64, is: u64) {
        self.now = self.now.saturating_add_unsigned(is).saturating_sub_unsigned(was);
        self.high = self.high.saturating_sub_unsigned(was.saturating_sub(is)).max(self.now).max(0);
    }

    /// The highest rise, and when.
    pub fn rise(&self) -> Option<(u64, u64)> {
        Some((u64::try_from(self.high).ok().filter(|high| *high > 0)?, self.at))
    }
}

/// High-water marks of the last tick.
#[derive(Debug)]
pub struct Marks<K> {
    marks: HashMap<K, u64>,
}

impl<K> Default for Marks<K> {
    fn default() -> Self {
        Self { marks: HashMap::new() }
    }
}

impl<K: Eq + Hash> Marks<K> {
    /// Takes a mark. Returns whether it changed since the last tick; the first mark counts as a change if the object
    /// `is_new`, that is, began since the last tick.
    pub fn has_risen(&mut self, key: K, mark: u64, is_new: bool) -> bool {
        match self.marks.insert(key, mark) {
            // Not `>`, because exec starts a new mark, which may be lower.
            Some(last) => mark != last,
            None => is_new,
        }
    }

    /// Forgets objects that are gone.
    pub fn retain(&mut self, is_there: impl Fn(&K) -> bool) {
        self.marks.retain(|key, _| is_there(key));
        spare::give_back(&mut self.marks);
    }
}

/// The facts about a total between two ticks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Between {
    /// The total at the last tick.
    pub before: Option<u64>,
    /// Now.
    pub now: u64,
    /// The rise of the estimate above the last tick's, and when.
    pub rise: Option<(u64, u64)>,
    /// The kernel's mark, and whether it rose.
    pub mark: Option<(u64, bool)>,
}

/// The highest total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    /// Bytes.
    pub bytes: Bytes,
    /// Time, if the estimate gives it; ns since boot.
    pub at: Option<u64>,
    /// How it was determined.
    pub grade: Grade,
}

impl Between {
    /// The highest total since the last tick.
    pub fn total(&self) -> Total {
        let Self { before, now, rise, mark } = *self;
        let at = rise.map(|(_, at)| at);
        if let Some((mark, true)) = mark
            && mark >= now
        {
            return Total { bytes: Bytes(mark), at, grade: Grade::Read };
        }
        let ends = now.max(before.unwrap_or(now));
        let estimate = rise.map_or(0, |(rise, _)| before.unwrap_or(now).saturating_add(rise));
        // The total cannot have exceeded the mark.
        let estimate = mark.map_or(estimate, |(mark, _)| estimate.min(mark));
        if estimate > ends {
            Total { bytes: Bytes(estimate), at, grade: Grade::Sampled }
        } else {
            Total { bytes: Bytes(ends), at: None, grade: Grade::Read }
        }
    }
}

#[cfg(test)]
mod tests;
