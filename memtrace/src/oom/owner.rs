//! Finds the owner of the limit that was hit.
//!
//! Input: the victim's chain of memory cgroups and each group's earlier `oom` counter. Output: the index of the owner,
//! with grade and evidence. Usage at the limit is the weakest evidence: it is usually, but not always, equal to the
//! limit at that instant.

use std::collections::HashMap;

use memtrace_common::{
    UNKNOWN,
    event::oom::{MemcgLevel, Request, level_flag},
};

use crate::units::Grade;

/// The last known values of the groups' own `oom` counters (`memory_events_local[MEMCG_OOM]`).
#[derive(Clone, Debug, Default)]
pub struct Baselines {
    seen: HashMap<u64, u64>,
    existing: HashMap<u64, Option<u64>>,
    /// Whether a group that is missing in `existing` may be older.
    is_partial: bool,
}

impl Baselines {
    /// From the existing groups, with their counters if these can be read (v2). A group that is missing here is
    /// younger, so its counter started at 0.
    pub fn of_existing(groups: impl IntoIterator<Item = (u64, Option<u64>)>) -> Self {
        Self { seen: HashMap::new(), existing: groups.into_iter().collect(), is_partial: false }
    }

    /// Of groups that were never read: for kills from before the daemon.
    pub fn unknown() -> Self {
        Self { is_partial: true, ..Self::default() }
    }

    /// The earlier value of a counter; `None` when it is not known.
    fn before(&self, id: u64) -> Option<u64> {
        match self.seen.get(&id) {
            Some(count) => Some(*count),
            None => self.existing.get(&id).copied().unwrap_or((!self.is_partial).then_some(0)),
        }
    }

    /// Remembers the counters of a chain.
    pub fn remember(&mut self, chain: &[MemcgLevel]) {
        for level in chain.iter().filter(|level| level.id != UNKNOWN && level.oom_local != UNKNOWN) {
            self.seen.insert(level.id, level.oom_local);
        }
    }
}

/// The owner of the limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its index in the chain.
    pub index: usize,
    /// How it was determined.
    pub grade: Grade,
    /// The evidence, in words.
    pub why: String,
}

/// Determines the owner for a kill of a memory cgroup.
///
/// # Errors
/// Why it cannot be determined.
pub fn owner(chain: &[MemcgLevel], before: &Baselines, request: &Request) -> Result<Owner, String> {
    // 0. The hook on `oom_kill_process` reported it.
    if request.is_known == 1
        && let Some(index) = chain.iter().position(|level| level.id == request.memcg)
    {
        let why = "the kernel's kill request names it".to_owned();
        return Ok(Owner { index, grade: Grade::Read, why });
    }
    let limited = |level: &MemcgLevel| has_limit(level);
    if !chain.iter().any(limited) {
        return Err("no cgroup from the victim up to the root has a known limit".to_owned());
    }
    // 1. The counter grows only on the group at its limit.
    let grown: Vec<(usize, u64)> = chain
        .iter()
        .enumerate()
        .filter_map(|(index, level)| {
            let count = (level.oom_local != UNKNOWN).then_some(level.oom_local)?;
            let by = count.checked_sub(before.before(level.id)?)?;
            (by > 0).then_some((index, by))
        })
        .collect();
    if let [(index, by)] = grown.as_slice() {
        return Ok(Owner {
            index: *index,
            grade: Grade::Read,
            why: format!("only its oom counter grew, by {by}, of all cgroups from the victim up"),
        });
    }
    // 2. The lock is set on that group and all its descendants.
    let locked = chain.iter().rposition(|level| level.flags & level_flag::OOM_LOCK != 0);
    if let Some(index) = locked
        && (grown.is_empty() || grown.iter().any(|(grown, _)| *grown == index))
    {
        return Ok(Owner {
            index,
            grade: Grade::Read,
            why: "the kernel held the OOM lock of this cgroup and its descendants only".to_owned(),
        });
    }
    // 3. The fullest of the groups whose counter grew, else of all.
    let candidates: Vec<usize> = if grown.is_empty() {
        (0..chain.len()).collect()
    } else {
        grown.iter().map(|(index, _)| *index).collect()
    };
    candidates
        .into_iter()
        .filter_map(|index| {
            let level = chain.get(index).filter(|level| limited(level) && level.usage != UNKNOWN)?;
            Some((level.max.saturating_sub(level.usage), index))
        })
        .min()
        .map(|(room, index)| Owner {
            index,
            grade: Grade::Inferred,
            why: format!("it had the least room left of all limits from the victim up: {room} pages"),
        })
        .ok_or_else(|| "failed to read the counters, the lock and the usage of the cgroups".to_owned())
}

/// `PAGE_COUNTER_MAX` is i64::MAX / page size; page sizes are 4 KiB to 64 KiB.
pub fn has_limit(level: &MemcgLevel) -> bool {
    level.max != UNKNOWN && level.max < i64::MAX as u64 / (64 << 10)
}

#[cfg(test)]
mod tests {
    use memtrace_common::event::oom::{MemcgLevel, Request, level_flag};
    use zerocopy::FromZeros;

    use super::{Baselines, Grade, UNKNOWN, owner};

    const UNASKED: Request = Request { memcg: UNKNOWN, order: 0, gfp_mask: 0, constraint: 0, is_known: 0 };
    const NO_LIMIT: u64 = i64::MAX as u64 / 4096;

    fn level(id: u64, usage: u64, max: u64, oom_local: u64) -> MemcgLevel {
        MemcgLevel { id, usage, max, oom_local, ..MemcgLevel::new_zeroed() }
    }

    /// Measured on 6.12, a small task in a sibling triggers: chain 375, 357 (the limit), 317, root.
    fn measured() -> [MemcgLevel; 4] {
        [
            level(375, 12313, NO_LIMIT, 0),
            level(357, 16384, 16384, 1),
            level(317, 16387, NO_LIMIT, 0),
            level(1, 0, NO_LIMIT, 0),
        ]
    }

    #[test]
    fn the_counter_that_grew_tells() {
        let owner = owner(&measured(), &Baselines::default(), &UNASKED).unwrap();
        assert_eq!((owner.index, owner.grade), (1, Grade::Read));
    }

    #[test]
    fn without_any_earlier_count_the_second_kill_tells() {
        let (mut chain, mut before) = (measured(), Baselines::unknown());
        assert_eq!(owner(&chain, &before, &UNASKED).unwrap().grade, Grade::Inferred);
        before.remember(&chain);
        chain[1].oom_local += 1;
        let owner = owner(&chain, &before, &UNASKED).unwrap();
        assert_eq!((owner.index, owner.grade), (1, Grade::Read));
    }

    #[test]
    fn an_old_count_is_no_evidence() {
        let mut chain = measured();
        chain[2].oom_local = 7;
        let mut before = Baselines::default();
        before.remember(&chain);
        chain[1].oom_local += 24;
        assert_eq!(owner(&chain, &before, &UNASKED).unwrap().index, 1);
    }

    #[test]
    fn a_group_from_before_the_start_needs_its_count_or_the_lock() {
        let mut chain = measured();
        chain[2].oom_local = 7;
        let before = Baselines::of_existing([(317, None), (357, None), (375, None), (1, None)]);
        for locked in &mut chain[..2] {
            locked.flags = level_flag::OOM_LOCK | level_flag::OOM_LOCK_KNOWN;
        }
        let found = owner(&chain, &before, &UNASKED).unwrap();
        assert_eq!((found.index, found.grade), (1, Grade::Read));
        let before = Baselines::of_existing([(317, Some(7)), (357, Some(0)), (375, Some(0)), (1, None)]);
        assert_eq!(owner(&measured(), &before, &UNASKED).unwrap().index, 1);
    }

    #[test]
    fn two_grown_counters_are_told_apart_by_the_lock() {
        let mut chain = measured();
        chain[0].oom_local = 3;
        chain[0].flags = level_flag::OOM_LOCK;
        chain[1].flags = level_flag::OOM_LOCK;
        assert_eq!(owner(&chain, &Baselines::default(), &UNASKED).unwrap().index, 1);
    }

    #[test]
    fn without_counters_the_fullest_is_inferred() {
        let mut chain = measured();
        for level in &mut chain {
            level.oom_local = UNKNOWN;
        }
        chain[1].usage -= 59;
        let found = owner(&chain, &Baselines::default(), &UNASKED).unwrap();
        assert_eq!((found.index, found.grade), (1, Grade::Inferred));
    }

    #[test]
    fn nothing_is_told_where_no_limit_is_known() {
        let chain = [level(1, 5, NO_LIMIT, 1), level(2, 5, UNKNOWN, 1)];
        assert!(owner(&chain, &Baselines::default(), &UNASKED).is_err());
        assert!(owner(&[], &Baselines::default(), &UNASKED).is_err());
    }

    #[test]
    fn what_the_kernel_says_outweighs_all() {
        let asked = Request { memcg: 317, constraint: 3, is_known: 1, ..UNASKED };
        let found = owner(&measured(), &Baselines::default(), &asked).unwrap();
        assert_eq!((found.index, found.grade), (2, Grade::Read));
    }
}
