//! What the arenas come to, those included that there was no time for.
//!
//! Input: arenas that were counted, and the sizes of those that were not. Output: sums, and how far they may be off. Pure.

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

/// What arenas came to.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) system: u64,
    pub(super) allocated: u64,
    pub(super) free: u64,
    pub(super) resident: u64,
    pub(super) reserve: u64,
    pub(super) unknown: u64,
    /// Of arenas that there was no time for.
    pub(super) unread: Vec<u64>,
    pub(super) is_sampled: bool,
    /// Of all that are sampled.
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

    /// Those that there was no time for are taken to be like the others, and may be full or empty.
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

/// So much of it as a part is of all.
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
