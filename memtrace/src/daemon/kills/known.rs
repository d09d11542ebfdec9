//! The kills that were taken already. A kill can come twice: from the rings of two daemons, when the programs of both were
//! attached, and from a ring after it was stored, when the daemon was killed before it let the record go.
//!
//! Victims and times -> whether this is a new kill. A task is marked once in its life, so the same thread id at almost the
//! same time is the same kill. Bounded: the oldest are forgotten.

use std::collections::{HashMap, VecDeque};

use crate::{oom::record::OomRecord, probe::kill_ring::Key};

/// The longest time between two records of one kill, in ns. A record of a group has only the time of its first victim;
/// the others follow within this time (see `oom::group`).
const SAME: u64 = 2_000_000_000;
/// The most kills that are remembered.
const MOST: usize = 20_000;

/// The kills so far.
#[derive(Debug, Default)]
pub struct Known {
    times: HashMap<u32, Vec<u64>>,
    order: VecDeque<Key>,
}

impl Known {
    /// Takes the kills of a stored record.
    pub fn know(&mut self, record: &OomRecord) {
        for victim in record.circumstances.more_victims.iter().chain([&record.victim]) {
            self.add(Key { ktime: record.ktime_ns, tid: victim.task.tid });
        }
    }

    /// Takes a kill; false when it was taken before.
    pub fn is_new(&mut self, kill: Key) -> bool {
        let times = self.times.get(&kill.tid).map(Vec::as_slice).unwrap_or_default();
        let is_new = !times.iter().any(|time| time.abs_diff(kill.ktime) <= SAME);
        if is_new {
            self.add(kill);
        }
        is_new
    }

    fn add(&mut self, kill: Key) {
        self.times.entry(kill.tid).or_default().push(kill.ktime);
        self.order.push_back(kill);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
            && let Some(times) = self.times.get_mut(&oldest.tid)
        {
            times.retain(|time| *time != oldest.ktime);
            if times.is_empty() {
                self.times.remove(&oldest.tid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Key, Known, MOST, SAME};
    use crate::oom::cause::fixture;

    fn key(tid: u32, ktime: u64) -> Key {
        Key { ktime, tid }
    }

    #[test]
    fn the_second_record_of_a_kill_is_recognised() {
        let mut known = Known::default();
        assert!(known.is_new(key(7, 10 * SAME)));
        assert!(!known.is_new(key(7, 10 * SAME + 3000)), "from another program");
        assert!(!known.is_new(key(7, 10 * SAME)), "read again");
        assert!(known.is_new(key(8, 10 * SAME)), "another victim");
        assert!(known.is_new(key(7, 12 * SAME)), "another process of this id");
    }

    #[test]
    fn all_victims_of_a_stored_record_are_known() {
        let mut record = fixture::record(10);
        let mut member = record.victim.clone();
        member.task.tid += 1;
        record.circumstances.more_victims.push(member);
        let (tid, ktime) = (record.victim.task.tid, record.ktime_ns);
        let mut known = Known::default();
        known.know(&record);
        assert!(!known.is_new(key(tid, ktime)));
        assert!(!known.is_new(key(tid + 1, ktime + 1_000_000)), "a member is marked later");
        assert!(known.is_new(key(tid + 2, ktime)));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut known = Known::default();
        for tid in 0..MOST as u32 + 2 {
            assert!(known.is_new(key(tid, 1)));
        }
        assert_eq!((known.order.len(), known.times.len()), (MOST, MOST));
        assert!(known.is_new(key(0, 1)));
    }
}
