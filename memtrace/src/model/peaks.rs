//! True peaks: the highest total since the last tick, also when it fell again before.
//!
//! Input: an address space as events change it, and the kernel's high-water marks. Output: [`Total`] and what it was made
//! of. Marks are of a whole life, so only one that rose since the last tick says something of this one; else the
//! estimate of the sampled faults and the releases stands, which no mark may be below. Pure.

pub mod ticks;

use std::{collections::HashMap, hash::Hash};

use crate::{
    ingest::decode::{Event, SpaceEvent},
    mm::address_space::AddressSpace,
    units::{Bytes, Grade},
};

/// What a sum has to rise before it is worth to keep what it is made of.
const WORTH: u64 = 1 << 20;

/// How high the sum of a space was since the last tick.
#[derive(Clone, Debug, Default)]
pub struct ProcessPeak {
    start: u64,
    high: u64,
    at: u64,
    /// The space as it was before it fell from its highest, to a twentieth.
    kept: Option<Box<AddressSpace>>,
}

impl ProcessPeak {
    /// Begins at the sum that a space has.
    pub fn new(space: &AddressSpace) -> Self {
        let sum = space.totals().resident.0;
        Self { start: sum, high: sum, at: 0, kept: None }
    }

    /// An event is about to change the space. Before one that may take pages away, what is there is kept.
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

    /// The event has changed it.
    pub fn after(&mut self, event: &Event, space: &AddressSpace) {
        let sum = space.totals().resident.0;
        if sum > self.high {
            (self.high, self.at) = (sum, event.header().ktime);
        }
    }

    /// The truth was read: what the sum was off by, it was off by before.
    pub fn correct(&mut self, was: u64, is: u64) {
        let corrected = |sum: u64| (sum + is).saturating_sub(was);
        (self.start, self.high) = (corrected(self.start), corrected(self.high).max(is));
    }

    /// The estimate was closed to the kernel's total: what was too much never was there.
    pub fn close(&mut self, was: u64, is: u64) {
        self.high = self.high.saturating_sub(was.saturating_sub(is)).max(self.start).max(is);
    }

    /// How much higher than at its start it was, and when; `None` when it was not.
    pub fn rise(&self) -> Option<(u64, u64)> {
        let rise = self.high.saturating_sub(self.start);
        (rise > 0).then_some((rise, self.at))
    }

    /// The space at its highest, when it has fallen from there since.
    pub fn kept(&self, now: &AddressSpace) -> Option<&AddressSpace> {
        let kept = self.kept.as_deref()?;
        (kept.totals().resident > now.totals().resident).then_some(kept)
    }
}

/// How much more the processes of a group had, together, since the last tick.
#[derive(Clone, Copy, Debug, Default)]
pub struct GroupPeak {
    now: i64,
    high: i64,
    at: u64,
}

impl GroupPeak {
    /// A process of it has changed.
    pub fn change(&mut self, was: u64, is: u64, at: u64) {
        self.now = self.now.saturating_add_unsigned(is).saturating_sub_unsigned(was);
        if self.now > self.high {
            (self.high, self.at) = (self.now, at);
        }
    }

    /// A process's estimate was closed to the kernel's total: what was too much never was there.
    pub fn close(&mut self, was: u64, is: u64) {
        self.now = self.now.saturating_add_unsigned(is).saturating_sub_unsigned(was);
        self.high = self.high.saturating_sub_unsigned(was.saturating_sub(is)).max(self.now).max(0);
    }

    /// The most, and when.
    pub fn rise(&self) -> Option<(u64, u64)> {
        Some((u64::try_from(self.high).ok().filter(|high| *high > 0)?, self.at))
    }
}

/// High-water marks, as they were at the last tick.
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
    /// Takes a mark; whether it rose since the last one. The first one of a life that began since the last tick is all of
    /// this tick's.
    pub fn has_risen(&mut self, key: K, mark: u64, is_new: bool) -> bool {
        match self.marks.insert(key, mark) {
            // A new program begins with a new mark.
            Some(last) => mark != last,
            None => is_new,
        }
    }

    /// Forgets what is gone.
    pub fn retain(&mut self, is_there: impl Fn(&K) -> bool) {
        self.marks.retain(|key, _| is_there(key));
    }
}

/// What is known of a total between two ticks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Between {
    /// At the last tick.
    pub before: Option<u64>,
    /// Now.
    pub now: u64,
    /// What the estimate rose above the last tick's, and when.
    pub rise: Option<(u64, u64)>,
    /// The kernel's mark, and whether it rose.
    pub mark: Option<(u64, bool)>,
}

/// The highest total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    /// Bytes.
    pub bytes: Bytes,
    /// When, if the estimate tells; ns since boot.
    pub at: Option<u64>,
    /// How it is known.
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
        // A mark that did not rise was not passed.
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
