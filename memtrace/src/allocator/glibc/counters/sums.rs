//! Sums over the arenas, including those that were not read for lack of time.
//!
//! Input: the counted arenas, and the sizes of the others. Output: sums with their errors. Pure.

use super::arena::Held;
use crate::allocator::counters::sampling::Doubt;

/// One arena, counted.
pub(super) struct Counted {
    pub(super) system: u64,
    pub(super) free: Held,
    pub(super) top: u64,
    pub(super) reserve: u64,
    pub(super) unknown: u64,
    pub(super) caches: Vec<(u64, u64)>,
    pub(super) is_sampled: bool,
    pub(super) doubt: Doubt,
}

/// The sums over arenas.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) system: u64,
    pub(super) allocated: u64,
    pub(super) free: u64,
    pub(super) resident: u64,
    pub(super) reserve: u64,
    pub(super) unknown: u64,
    /// Sizes of the arenas that were not counted.
    pub(super) unread: Vec<u64>,
    /// Whether some of these were not counted for another reason than time.
    pub(super) is_restless: bool,
    pub(super) is_sampled: bool,
    /// The combined doubt of all sampled arenas.
    pub(super) doubt: Doubt,
}

impl Sums {
    pub(super) fn add(&mut self, counted: &Counted, in_use: u64) {
        self.system = self.system.saturating_add(counted.system);
        self.allocated = self.allocated.saturating_add(in_use);
        self.free = self.free.saturating_add(counted.free.bytes + counted.top);
        self.resident = self.resident.saturating_add(counted.free.resident);
        self.reserve = self.reserve.saturating_add(counted.reserve);
        self.unknown = self.unknown.saturating_add(counted.unknown);
        self.is_sampled |= counted.is_sampled;
        self.doubt = self.doubt.and(counted.doubt);
    }

    /// Assumes that unread arenas are like the others; the error covers full and empty ones.
    pub(super) fn add_unread(&mut self) {
        let unread = self.unread.iter().fold(0, |sum: u64, system| sum.saturating_add(*system));
        let used = part(unread, self.allocated, self.system);
        let free = unread.saturating_sub(used);
        self.resident = self.resident.saturating_add(part(free, self.resident, self.free));
        self.allocated = self.allocated.saturating_add(used);
        self.free = self.free.saturating_add(free);
        self.unknown = self.unknown.saturating_add(used.max(free));
        self.is_sampled |= unread > 0;
    }
}

/// `of * part / all`.
pub(super) fn part(of: u64, part: u64, all: u64) -> u64 {
    let share = u128::from(of) * u128::from(part.min(all)) / u128::from(all.max(1));
    u64::try_from(share).unwrap_or(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arenas_that_were_not_read_are_like_the_others_or_anything_else() {
        let free = Held { bytes: 200, resident: 100, is_complete: true };
        let counted = Counted {
            system: 1000,
            free,
            top: 50,
            reserve: 0,
            unknown: 5,
            caches: Vec::new(),
            is_sampled: false,
            doubt: Doubt::default(),
        };
        let mut sums = Sums::default();
        sums.add(&counted, 750);
        sums.add_unread();
        assert_eq!((sums.allocated, sums.unknown, sums.is_sampled), (750, 5, false));
        sums.unread = vec![300, 100];
        sums.add_unread();
        assert_eq!((sums.allocated, sums.free, sums.resident), (750 + 300, 250 + 100, 100 + 40));
        // All of it may be in use, and none of it.
        assert_eq!((sums.unknown, sums.is_sampled), (5 + 300, true));
    }
}
