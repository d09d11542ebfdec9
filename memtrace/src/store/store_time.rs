//! The store's own time, by which kills grow old: it does not jump.
//!
//! Readings of the clocks -> the store's time -> which kills are due. Pure.
//!
//! A wall clock may jump by years, and back: an empty RTC, a wrong NTP server, a resumed virtual machine. Kills must
//! neither be deleted because the clock is ahead, nor because it was behind when they were recorded. The store's time
//! therefore advances with `CLOCK_BOOTTIME`. While it is behind the wall clock (the node was off, or the clock jumped
//! ahead), it advances up to twice as fast, and no faster. It never goes back.
//!
//! A kill is due when both clocks say so: it has been stored for `age` by the store's time, and its time is `age` before
//! the wall clock. So a right wall clock alone keeps a kill for `age`, and a wrong one at least for half of it. The time
//! of a kill that seems to be from the future is not used.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::columns::nanoseconds;

/// A kill may be this much later than the wall clock before its time counts as wrong.
const FUTURE: i64 = 24 * 3_600_000_000_000;
/// A wall clock that gains or loses more than this between two readings has jumped.
const JUMP: SignedDuration = SignedDuration::from_hours(1);

/// A reading of the clocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Now {
    /// `CLOCK_REALTIME`.
    pub wall: Timestamp,
    /// `CLOCK_BOOTTIME`, nanoseconds.
    pub since_boot: u64,
    /// The boot that it counts from.
    pub boot_id: Arc<str>,
}

impl Now {
    /// By how much the wall clock jumped since an earlier reading of the same boot, if it did.
    pub fn jump(&self, earlier: &Self) -> Option<SignedDuration> {
        if self.boot_id != earlier.boot_id {
            return None;
        }
        let elapsed = i128::from(self.since_boot) - i128::from(earlier.since_boot);
        let elapsed = SignedDuration::from_nanos(i64::try_from(elapsed).unwrap_or(i64::MAX));
        let jump = self.wall.duration_since(earlier.wall).saturating_sub(elapsed);
        (jump.abs() > JUMP).then_some(jump)
    }
}

/// The store's time at a reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The store's time, nanoseconds.
    pub(super) time: i64,
    /// `CLOCK_BOOTTIME` then.
    pub(super) since_boot: u64,
    /// The boot that this counts from.
    pub(super) boot_id: Arc<str>,
}

impl Mark {
    /// The first one of a store. It starts with its newest kill: the time since then is caught up with.
    pub(super) fn first(now: &Now, newest: Option<i64>) -> Self {
        let time = newest.unwrap_or_else(|| nanoseconds(now.wall));
        Self { time, since_boot: now.since_boot, boot_id: Arc::clone(&now.boot_id) }
    }

    /// The next one. After a reboot it starts where it was.
    pub(super) fn advance(&self, now: &Now) -> Self {
        let is_same_boot = now.boot_id == self.boot_id;
        let elapsed = if is_same_boot { now.since_boot.saturating_sub(self.since_boot) } else { 0 };
        let elapsed = i64::try_from(elapsed).unwrap_or(i64::MAX);
        let slowest = self.time.saturating_add(elapsed);
        let time = nanoseconds(now.wall).clamp(slowest, slowest.saturating_add(elapsed));
        Self { time, since_boot: now.since_boot, boot_id: Arc::clone(&now.boot_id) }
    }

    /// Which kills are due now.
    pub(super) fn due(&self, wall: Timestamp, age: Duration) -> Due {
        let age = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
        let wall = nanoseconds(wall);
        Due {
            stored_before: self.time.saturating_sub(age),
            from_before: wall.saturating_sub(age),
            from_after: wall.saturating_add(FUTURE),
        }
    }
}

/// Which kills are due, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// Stored before this, by the store's time.
    pub(super) stored_before: i64,
    /// And from before this, by the wall clock,
    pub(super) from_before: i64,
    /// or, by a wrong one, from after this.
    pub(super) from_after: i64,
}

#[cfg(test)]
impl Due {
    /// What the store's query says.
    pub(super) fn is_due(&self, stored: i64, time: i64) -> bool {
        stored < self.stored_before && (time < self.from_before || time > self.from_after)
    }
}

#[cfg(test)]
#[path = "store_time_tests.rs"]
mod tests;
