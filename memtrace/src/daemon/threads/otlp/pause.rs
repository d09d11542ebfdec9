//! How long to wait after failures.
//!
//! Failures -> times that double up to a bound, each shortened by chance, so that the daemons of many nodes do not come
//! at once. Must not wait.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
    time::Duration,
};

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// The most that a collector may ask for.
const MOST_ASKED: Duration = Duration::from_secs(3600);

/// The pauses since the last success.
#[derive(Debug, Default)]
pub(super) struct Pause {
    failures: u32,
}

impl Pause {
    /// Whether there was no failure yet.
    pub(super) const fn is_first(&self) -> bool {
        self.failures == 0
    }

    /// The time until the next try; at least what the collector asked for.
    pub(super) fn after_failure(&mut self, asked: Option<Duration>) -> Duration {
        // Between half of it and all of it.
        let chance = RandomState::new().build_hasher().finish() % 1024;
        let longest = SHORTEST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let pause = longest / 2 + longest / 2048 * u32::try_from(chance).unwrap_or_default();
        pause.max(asked.unwrap_or_default().min(MOST_ASKED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_respect_the_collector() {
        let mut pause = Pause::default();
        assert!(pause.is_first());
        for failure in 0..40_u32 {
            let longest = SHORTEST.saturating_mul(1 << failure.min(16)).min(LONGEST);
            let next = pause.after_failure(None);
            assert!(longest / 2 <= next && next <= longest, "{failure}: {next:?}");
        }
        assert!(!pause.is_first());
        assert_eq!(pause.after_failure(Some(Duration::from_secs(1000))), Duration::from_secs(1000));
        assert_eq!(pause.after_failure(Some(Duration::from_secs(1 << 40))), MOST_ASKED);
    }
}
