//! Growth of memory over ten seconds, a minute and ten minutes.
//!
//! Input: amounts with their time. Output: sums over the windows, in fixed memory. Pure; must not know processes.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// A second.
const SECOND: u64 = 1_000_000_000;
/// Buckets of each window.
const BUCKETS: usize = 10;

/// The period of a growth figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// Ten seconds.
    Seconds10,
    /// A minute.
    Minute1,
    /// Ten minutes.
    Minutes10,
}

impl Window {
    /// All windows, shortest first.
    pub const ALL: [Self; 3] = [Self::Seconds10, Self::Minute1, Self::Minutes10];

    /// Its length in nanoseconds.
    pub const fn length(self) -> u64 {
        match self {
            Self::Seconds10 => 10 * SECOND,
            Self::Minute1 => 60 * SECOND,
            Self::Minutes10 => 600 * SECOND,
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Seconds10 => 0,
            Self::Minute1 => 1,
            Self::Minutes10 => 2,
        }
    }
}

/// Amounts in the buckets of one window; a bucket is a tenth of it, so a sum covers nine to ten tenths.
#[derive(Clone, Copy, Debug, Default)]
struct Buckets {
    amounts: [u64; BUCKETS],
    /// Number of the newest bucket since boot.
    newest: u64,
}

impl Buckets {
    fn advance(&mut self, to: u64) {
        let steps = to.saturating_sub(self.newest);
        for step in 1..=steps.min(BUCKETS as u64) {
            let index = ((self.newest + step) % BUCKETS as u64) as usize;
            if let Some(amount) = self.amounts.get_mut(index) {
                *amount = 0;
            }
        }
        self.newest = self.newest.max(to);
    }

    fn add(&mut self, bucket: u64, amount: u64) {
        self.advance(bucket);
        // An older amount is outside the window.
        if bucket + BUCKETS as u64 > self.newest
            && let Some(sum) = self.amounts.get_mut((bucket % BUCKETS as u64) as usize)
        {
            *sum = sum.saturating_add(amount);
        }
    }

    fn sum(mut self, now: u64) -> u64 {
        self.advance(now);
        self.amounts.iter().fold(0, |sum, amount| sum.saturating_add(*amount))
    }
}

/// Growth over each window, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Growth {
    windows: [Buckets; Window::ALL.len()],
}

impl Growth {
    /// Counts `amount` at `at`, ns since boot.
    pub fn add(&mut self, at: u64, amount: u64) {
        for (window, buckets) in Window::ALL.iter().zip(&mut self.windows) {
            buckets.add(at / (window.length() / BUCKETS as u64), amount);
        }
    }

    /// The sum over the window that ends at `now`.
    pub fn over(&self, window: Window, now: u64) -> u64 {
        let bucket = now / (window.length() / BUCKETS as u64);
        self.windows.get(window.index()).map_or(0, |buckets| buckets.sum(bucket))
    }
}

/// How a stack was unwound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WalkedBy {
    /// By the unwind tables of the programs.
    Tables,
    /// By unwind tables, and by frame pointers where code had none.
    Both,
    /// By frame pointers alone: short or wrong where code was built without them.
    #[default]
    FramePointers,
}

/// Growth by call stack of first touch, for one process. Bounded: a new stack replaces the one that grew least, whose
/// amount is added to `others`.
#[derive(Clone, Debug, Default)]
pub struct StackGrowth {
    stacks: HashMap<Box<[u64]>, (Growth, WalkedBy)>,
    others: Growth,
}

/// The most distinct stacks of one process.
const MAX_STACKS: usize = 64;

impl StackGrowth {
    /// Counts `bytes` that were first touched from `stack`; an empty stack counts as `others`.
    pub fn add(&mut self, at: u64, stack: &[u64], walked_by: WalkedBy, bytes: u64) {
        if stack.is_empty() {
            return self.others.add(at, bytes);
        }
        if let Some((growth, _)) = self.stacks.get_mut(stack) {
            return growth.add(at, bytes);
        }
        if self.stacks.len() >= MAX_STACKS {
            let least = self
                .stacks
                .iter()
                // Ties are broken by stack, so that a replay gives the same result as the original run.
                .min_by_key(|(stack, (growth, _))| (growth.over(Window::Minutes10, at), *stack))
                .map(|(stack, (growth, _))| (stack.clone(), growth.over(Window::Minutes10, at)));
            if let Some((least, had)) = least {
                self.stacks.remove(&least);
                self.others.add(at, had);
            }
        }
        let mut growth = Growth::default();
        growth.add(at, bytes);
        self.stacks.insert(stack.into(), (growth, walked_by));
    }

    /// Until when the sums over all windows stay the same if nothing is added.
    pub fn stands_until(&self, now: u64) -> u64 {
        let grew = |window: &Window| self.stacks.values().any(|(growth, _)| growth.over(*window, now) > 0);
        let finest = Window::ALL.into_iter().find(grew);
        finest.map_or(u64::MAX, |window| {
            let bucket = window.length() / BUCKETS as u64;
            (now / bucket + 1).saturating_mul(bucket)
        })
    }

    /// The `limit` stacks that grew most over the window, largest first.
    pub fn top(&self, window: Window, now: u64, limit: usize) -> Vec<(&[u64], WalkedBy, u64)> {
        let mut found: Vec<_> = self
            .stacks
            .iter()
            .map(|(stack, (growth, walked_by))| (&**stack, *walked_by, growth.over(window, now)))
            .filter(|(_, _, bytes)| *bytes > 0)
            .collect();
        // Ties are broken by stack, so that rows do not jump.
        found.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| a.0.cmp(b.0)));
        found.truncate(limit);
        found
    }

    /// Growth from one stack over the window, in bytes.
    pub fn of(&self, stack: &[u64], window: Window, now: u64) -> u64 {
        self.stacks.get(stack).map_or(0, |(growth, _)| growth.over(window, now))
    }

    /// Bytes of memory that it uses, from counts.
    pub fn footprint(&self) -> u64 {
        let entry = size_of::<(Box<[u64]>, (Growth, WalkedBy))>() + 1;
        let frames: usize = self.stacks.keys().map(|stack| size_of_val(&**stack)).sum();
        (self.stacks.capacity() / 7 * 8 * entry + frames) as u64
    }

    /// Growth without a known stack, in bytes.
    pub fn others(&self, window: Window, now: u64) -> u64 {
        self.others.over(window, now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Growth, MAX_STACKS, SECOND, StackGrowth, WalkedBy, Window};

    #[test]
    fn what_came_in_leaves_with_its_window() {
        let mut growth = Growth::default();
        growth.add(100 * SECOND, 7);
        for (window, last) in [(Window::Seconds10, 109), (Window::Minute1, 155), (Window::Minutes10, 650)] {
            assert_eq!(growth.over(window, last * SECOND), 7, "{window:?}");
            assert_eq!(growth.over(window, 100 * SECOND + window.length() + SECOND), 0, "{window:?}");
        }
    }

    #[test]
    fn the_stack_that_grew_least_makes_place_and_nothing_is_lost() {
        let mut growth = StackGrowth::default();
        for stack in 1..=MAX_STACKS as u64 + 1 {
            growth.add(SECOND, &[stack], WalkedBy::Tables, stack * 10);
        }
        let top = growth.top(Window::Seconds10, SECOND, 1000);
        assert_eq!(top.len(), MAX_STACKS);
        assert_eq!(top[0], (&[MAX_STACKS as u64 + 1][..], WalkedBy::Tables, (MAX_STACKS as u64 + 1) * 10));
        assert_eq!(growth.others(Window::Seconds10, SECOND), 10);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Against the plain sum: the buckets cover nine to ten tenths of the window.
        #[test]
        fn sums_are_right_to_a_tenth(adds in prop::collection::vec((0_u64..1200, 1_u64..100), 0..100), now in 0_u64..1300) {
            let mut growth = Growth::default();
            let mut adds = adds;
            adds.sort_unstable();
            adds.retain(|(at, _)| *at <= now);
            for (at, amount) in &adds {
                growth.add(at * SECOND, *amount);
            }
            for window in Window::ALL {
                let length = window.length() / SECOND;
                let since = |seconds: u64| -> u64 {
                    adds.iter().filter(|(at, _)| now - at < seconds).map(|(_, amount)| amount).sum()
                };
                let sum = growth.over(window, now * SECOND);
                prop_assert!(sum <= since(length), "{:?}", window);
                prop_assert!(sum >= since(length - length / 10), "{:?}", window);
            }
        }
    }
}
