//! Gaps in the stream, which are filled by reading /proc and the cgroup hierarchy.
//!
//! Counts of losses -> whether to read again. Pure.

use memtrace_common::counter::Counter;

use crate::ingest::loss::Loss;

/// What was lost until the last tick.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    lost: u64,
    is_fresh: bool,
    cgroups: u64,
    /// The namer could not be told of the last loss.
    is_untold: bool,
}

fn count_of(losses: &[Loss], counter: Counter) -> u64 {
    losses.iter().find(|loss| loss.name == counter.name()).map_or(0, |loss| loss.count)
}

impl Gaps {
    /// True while events are lost, and once more afterwards: at the first resync the ring still holds events from
    /// before the gap, which are applied only by the second.
    pub(super) fn need_resync(&mut self, losses: &[Loss]) -> bool {
        let lost = count_of(losses, Counter::StreamFull);
        let was_fresh = std::mem::replace(&mut self.is_fresh, lost > self.lost);
        self.lost = lost;
        self.is_fresh || was_fresh
    }

    /// True when events of cgroups may have been lost since the last call, or [`Gaps::tell_again`] asked for it.
    pub(super) fn missed_cgroups(&mut self, losses: &[Loss]) -> bool {
        let lost = count_of(losses, Counter::StreamFull) + count_of(losses, Counter::CgroupsThrottled);
        let was_untold = std::mem::take(&mut self.is_untold);
        std::mem::replace(&mut self.cgroups, lost) < lost || was_untold
    }

    /// Has the loss of events of cgroups told again.
    pub(super) const fn tell_again(&mut self) {
        self.is_untold = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_answered_when_it_opens_and_after_it() {
        let mut gaps = Gaps::default();
        let full = |count| [Loss { name: "stream_full".into(), count, meaning: String::new() }];
        let other = [Loss { name: "user_stack".into(), count: 9, meaning: String::new() }];
        assert!(!gaps.need_resync(&other));
        assert!(gaps.need_resync(&full(3)));
        assert!(gaps.need_resync(&full(3)));
        assert!(!gaps.need_resync(&full(3)));
        assert!(gaps.need_resync(&full(4)));
    }

    #[test]
    fn cgroups_over_the_budget_are_read_again_each_time_that_there_are_more() {
        let mut gaps = Gaps::default();
        let lost = |name: &str, count| [Loss { name: name.into(), count, meaning: String::new() }];
        assert!(!gaps.missed_cgroups(&[]));
        assert!(gaps.missed_cgroups(&lost("cgroups_throttled", 3)));
        assert!(!gaps.missed_cgroups(&lost("cgroups_throttled", 3)));
        assert!(gaps.missed_cgroups(&lost("cgroups_throttled", 4)));
        assert!(gaps.missed_cgroups(&lost("stream_full", 9)));
        assert!(!gaps.need_resync(&lost("cgroups_throttled", 99)), "the processes are all known");
        gaps.tell_again();
        assert!(gaps.missed_cgroups(&lost("stream_full", 9)));
        assert!(!gaps.missed_cgroups(&lost("stream_full", 9)));
    }
}
