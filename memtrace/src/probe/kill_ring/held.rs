//! Which records of a ring were read and are not on disk yet.
//!
//! Records in the order of the ring, releases in any order -> the position up to which the ring is consumed. Pure.

use std::collections::VecDeque;

use memtrace_common::event::oom::OomKill;

/// Identifies a kill in its ring: no two have the same time and victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// When, ns since boot.
    pub ktime: u64,
    /// The victim's thread id.
    pub tid: u32,
}

impl Key {
    /// Of a kill.
    pub fn of(kill: &OomKill) -> Self {
        Self { ktime: kill.header.ktime, tid: kill.victim.tid }
    }
}

/// A record that was read. Without a key, nothing needs it any more.
#[derive(Debug)]
struct Waiting {
    end: usize,
    key: Option<Key>,
}

/// The records from the consumed position on.
#[derive(Debug)]
pub struct Held {
    /// Everything before is consumed.
    consumed: usize,
    waiting: VecDeque<Waiting>,
}

impl Held {
    /// Nothing was read of a ring that is consumed up to here.
    pub fn new(consumed: usize) -> Self {
        Self { consumed, waiting: VecDeque::new() }
    }

    /// Adds the next record, which ends at `end`. At most `most` bytes are held: above that the oldest records are let
    /// go, because a ring that is full loses new ones.
    pub fn push(&mut self, end: usize, key: Option<Key>, most: usize) {
        self.waiting.push_back(Waiting { end, key });
        while end.wrapping_sub(self.consumed) > most
            && let Some(oldest) = self.waiting.pop_front()
        {
            self.consumed = oldest.end;
        }
    }

    /// Lets a record go.
    pub fn release(&mut self, key: Key) {
        if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.key == Some(key)) {
            waiting.key = None;
        }
    }

    /// The position before the first record that is still needed.
    pub fn consumed(&mut self) -> usize {
        while let Some(first) = self.waiting.pop_front_if(|first| first.key.is_none()) {
            self.consumed = first.end;
        }
        self.consumed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Held, Key};

    const NO_LIMIT: usize = usize::MAX;

    fn key(ktime: u64) -> Key {
        Key { ktime, tid: 7 }
    }

    #[test]
    fn the_position_waits_for_the_oldest() {
        let mut held = Held::new(100);
        held.push(110, Some(key(1)), NO_LIMIT);
        held.push(120, Some(key(2)), NO_LIMIT);
        held.push(130, None, NO_LIMIT);
        assert_eq!(held.consumed(), 100);
        held.release(key(2));
        assert_eq!(held.consumed(), 100, "the first is still needed");
        held.release(Key { tid: 8, ..key(1) });
        assert_eq!(held.consumed(), 100, "another victim's");
        held.release(key(1));
        assert_eq!(held.consumed(), 130);
    }

    #[test]
    fn what_nobody_needs_is_consumed_at_once() {
        let mut held = Held::new(usize::MAX - 3);
        held.push(4, None, NO_LIMIT);
        assert_eq!(held.consumed(), 4, "positions wrap around");
    }

    #[test]
    fn above_the_limit_the_oldest_go() {
        let mut held = Held::new(0);
        for index in 1..=10 {
            held.push(index * 10, Some(key(index as u64)), 50);
        }
        assert_eq!(held.consumed(), 50);
        held.release(key(6));
        assert_eq!(held.consumed(), 60);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_position_is_before_the_first_that_is_not_released(order in Just((0..20_u64).collect::<Vec<_>>()).prop_shuffle(),
            released in 0..20_usize)
        {
            let mut held = Held::new(0);
            for index in 0..20 {
                held.push((index + 1) * 8, Some(key(index as u64)), NO_LIMIT);
            }
            for index in &order[..released] {
                held.release(key(*index));
                held.consumed();
            }
            let first = (0..20).find(|index| !order[..released].contains(index)).unwrap();
            prop_assert_eq!(held.consumed(), first as usize * 8);
        }
    }
}
