//! The memory budget: its shares, and what the model's parts cost.
//!
//! The bytes of `--memory-budget`, and counts of mappings -> bytes. Pure. The sizes are measured by
//! `tests/memory_budget`, and ADR 7 gives the reasons.

use std::fmt;

use crate::{
    allocator::Owned,
    mm::{listing::Mappings, page_table::Found, region::Region},
    units::Bytes,
};

const MIB: u64 = 1 << 20;

/// What does not grow with address spaces: the program, the ring buffers, the rows of some thousand processes, history,
/// one answer of the API.
const BASE: u64 = 48 * MIB;

/// The budget of the core and its readers together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    total: u64,
}

impl Budget {
    /// The least budget, in MiB: with less the model would have nothing.
    pub const LEAST_MIB: u32 = 64;
    /// The default.
    pub const DEFAULT: Self = Self { total: 96 * MIB };

    /// A budget of so many bytes, at least the smallest.
    pub const fn new(total: Bytes) -> Self {
        let least = Self::LEAST_MIB as u64 * MIB;
        Self { total: if total.0 < least { least } else { total.0 } }
    }

    /// All of it.
    pub const fn total(self) -> Bytes {
        Bytes(self.total)
    }

    /// What address spaces and the owners of their memory may take.
    pub const fn spaces(self) -> u64 {
        self.rest() / 8 * 5
    }

    /// The sum of address spaces below which one that was given up may return.
    pub const fn low_mark(self) -> u64 {
        self.spaces() / 8 * 7
    }

    /// What requested scans and their results may take until they are applied.
    pub const fn scans(self) -> u64 {
        self.rest() / 4
    }

    /// What events may take that wait for the result of a scan.
    pub const fn events(self) -> u64 {
        self.rest() / 8
    }

    /// The room for the list of so many mappings, which took `list` bytes when it was too long. With 0, for the list of
    /// a process that was not read yet.
    pub fn list_room(self, mappings: u64, list: Bytes) -> u64 {
        // With the most scans under way, all of them fit.
        let least = self.scans() / 64;
        let names = if mappings == 0 { 0 } else { NAMES };
        let known = mappings.saturating_mul(Mappings::EACH).saturating_add(names).max(list.0);
        known.saturating_add(known / 8).clamp(least, self.scans())
    }

    const fn rest(self) -> u64 {
        self.total - BASE
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.total().fmt(formatter)
    }
}

/// Room for the names of files in a list of mappings before their size is known.
const NAMES: u64 = 64 << 10;

/// Memory of a scan of pages: its request, and its result.
pub const fn pages(regions: u64, ranges: u64) -> u64 {
    let range = (size_of::<Region>() + 2 * size_of::<Found>()) as u64;
    regions.saturating_mul(size_of::<Region>() as u64).saturating_add(ranges.saturating_mul(range))
}

/// Memory of an address space of so many mappings when it was read: its regions, and an owner of each.
pub const fn held(mappings: u64) -> u64 {
    mappings.saturating_mul(REGION + size_of::<Owned>() as u64)
}

/// A region in its tree, which is packed after a scan.
const REGION: u64 = 84;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_are_within_the_budget() {
        for mib in [0, 64, 96, 256, 4096] {
            let budget = Budget::new(Bytes(mib * MIB));
            let sum = BASE + budget.spaces() + budget.scans() + budget.events();
            assert!(sum <= budget.total && budget.low_mark() < budget.spaces(), "{budget:?}");
            assert!(budget.total >= u64::from(Budget::LEAST_MIB) * MIB);
        }
    }

    #[test]
    fn as_many_unknown_processes_as_may_be_under_way_are_read_at_once() {
        let budget = Budget::DEFAULT;
        assert!(budget.list_room(0, Bytes(0)) * 64 <= budget.scans());
        assert!(budget.list_room(0, Bytes(0)) / Mappings::EACH > 1000, "most processes have fewer mappings");
        assert_eq!(budget.list_room(u64::MAX, Bytes(0)), budget.scans());
    }

    /// `vm.max_map_count` is 65,530 by default.
    #[test]
    fn a_process_of_the_most_mappings_can_be_read_and_held() {
        let budget = Budget::DEFAULT;
        assert!(65_530 * Mappings::EACH + NAMES <= budget.list_room(65_530, Bytes(0)));
        assert!(held(65_530) <= budget.low_mark());
    }
}
