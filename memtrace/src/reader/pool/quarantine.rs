//! The processes that are not read for a while.
//!
//! Processes whose reader hung or died, with time and cgroup -> whether a process may be read. Pure. Bounded: the oldest
//! entry is dropped first.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::reader::NotRead;

/// How long a process is not read after a reader hung or died on it.
pub const TIME: Duration = Duration::from_secs(300);
/// The most entries.
pub(super) const MOST: usize = 256;
/// After so many processes of one cgroup its others are not read either: otherwise a container could let one process
/// after the other hang a reader, and nobody else would be read.
const MOST_OF_GROUP: usize = 3;

/// Pid and start time in clock ticks since boot.
pub type Identity = (u32, u64);

/// A number for a cgroup; `None` for the root, whose processes have nothing in common.
pub type Group = Option<u64>;

/// A process and its cgroup.
pub type Whom = (Identity, Group);

/// Quarantined processes, the oldest first.
#[derive(Debug, Default)]
pub struct Quarantine(VecDeque<Entry>);

#[derive(Debug)]
struct Entry {
    who: Identity,
    group: Group,
    since: Instant,
    /// The reader that cannot be killed, as long as it is there: another would only join it.
    stuck: Option<u32>,
}

impl Quarantine {
    /// Adds a process, and the pid of its reader if that is stuck.
    pub fn add(&mut self, who: Identity, group: Group, stuck: Option<u32>) {
        self.0.push_back(Entry { who, group, since: Instant::now(), stuck });
        if self.0.len() > MOST {
            self.0.pop_front();
        }
    }

    /// Removes what is over, given the readers that are still stuck.
    pub fn expire(&mut self, is_stuck: impl Fn(u32) -> bool) {
        for entry in &mut self.0 {
            entry.stuck = entry.stuck.filter(|reader| is_stuck(*reader));
        }
        self.0.retain(|entry| entry.stuck.is_some() || entry.since.elapsed() < TIME);
    }

    /// Whether a process may be read.
    ///
    /// # Errors
    /// When it or its cgroup is quarantined.
    pub fn check(&self, who: Identity, group: Group) -> Result<(), NotRead> {
        if self.0.iter().any(|entry| entry.who == who) {
            return Err(NotRead::Quarantined);
        }
        let of_group = self.0.iter().filter(|entry| group.is_some() && entry.group == group);
        let (count, has_stuck) = of_group
            .fold((0, false), |(count, has_stuck), entry| (count + 1, has_stuck || entry.stuck.is_some()));
        if has_stuck || count >= MOST_OF_GROUP {
            return Err(NotRead::GroupQuarantined);
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_an_end_and_the_newest_are_kept() {
        let mut quarantine = Quarantine::default();
        (0..1000).for_each(|pid| quarantine.add((pid, 1), None, None));
        assert_eq!(quarantine.len(), MOST);
        assert_eq!(quarantine.check((999, 1), None), Err(NotRead::Quarantined));
        assert_eq!(quarantine.check((999, 2), None), Ok(()), "another process with its pid is not meant");
        assert_eq!(quarantine.check((1, 1), None), Ok(()));
    }

    #[test]
    fn a_group_whose_processes_hang_one_after_the_other_is_left_alone() {
        let (mut quarantine, group) = (Quarantine::default(), Some(7));
        for pid in 1..=3 {
            assert_eq!(quarantine.check((9, 1), group), Ok(()));
            quarantine.add((pid, 1), group, None);
        }
        assert_eq!(quarantine.check((9, 1), group), Err(NotRead::GroupQuarantined));
        assert_eq!(quarantine.check((9, 1), Some(8)), Ok(()));
        assert_eq!(quarantine.check((9, 1), None), Ok(()));
    }

    #[test]
    fn processes_in_the_root_have_nothing_in_common() {
        let mut quarantine = Quarantine::default();
        (1..=9).for_each(|pid| quarantine.add((pid, 1), None, None));
        assert_eq!(quarantine.check((10, 1), None), Ok(()));
    }

    #[test]
    fn a_reader_that_cannot_be_killed_is_the_last_for_its_group() {
        let mut quarantine = Quarantine::default();
        quarantine.add((1, 1), Some(7), Some(4711));
        quarantine.expire(|reader| reader == 4711);
        assert_eq!(quarantine.check((9, 1), Some(7)), Err(NotRead::GroupQuarantined));
        quarantine.expire(|_| false);
        assert_eq!(quarantine.check((9, 1), Some(7)), Ok(()), "it is gone");
        assert_eq!(quarantine.check((1, 1), Some(7)), Err(NotRead::Quarantined), "its time is not over");
    }
}
