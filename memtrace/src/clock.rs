//! Boot time, wall-clock time, and the boot id.
//!
//! Input: the kernel's clocks. Output: `jiff` timestamps. The kernel programs stamp events with `CLOCK_BOOTTIME`,
//! which neither jumps nor stops in suspend.

use std::{fs, path::Path, time::Duration};

use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since boot, as the kernel programs stamp them.
pub fn ktime() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec)
        .unwrap_or(0)
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}

/// CPU time of this process, all threads.
pub fn own_cpu() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap_or_default()
}

/// CPU time of this thread.
pub fn thread_cpu() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

/// Nanoseconds in suspend since boot.
pub fn suspended() -> u64 {
    let nanoseconds = |clock| {
        let now = clock_gettime(clock);
        i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
    };
    // Boottime first, so that the time between the two reads does not count as suspend.
    let (boot, running) = (nanoseconds(ClockId::Boottime), nanoseconds(ClockId::Monotonic));
    u64::try_from(boot - running).unwrap_or(0)
}

/// The wall-clock time of an instant since boot, from the current offset between the clocks.
pub fn wall(ktime_ns: u64) -> Timestamp {
    at(Timestamp::now(), ktime(), ktime_ns)
}

/// The wall-clock time of `then`, given that `now_ktime` is at `now`. Saturates at the range of a timestamp.
pub fn at(now: Timestamp, now_ktime: u64, then: u64) -> Timestamp {
    let nanoseconds = i128::from(then) - i128::from(now_ktime);
    let distance = SignedDuration::from_nanos(i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 {
        i64::MIN
    } else {
        i64::MAX
    }));
    now.saturating_add(distance).unwrap_or(now)
}

/// The id of this boot, from `<proc>/sys/kernel/random/boot_id`; `None` when it cannot be read.
pub fn boot_id(proc: &Path) -> Option<String> {
    let text = fs::read_to_string(proc.join("sys/kernel/random/boot_id")).ok()?;
    let id = text.trim();
    (!id.is_empty()).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::at;

    #[test]
    fn an_instant_before_now_is_before_now() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        assert_eq!(at(now, 10_000_000_000, 9_000_000_000), "2026-01-02T03:04:04Z".parse().unwrap());
        assert_eq!(at(now, 10, 10), now);
        assert!(at(now, 0, u64::MAX) > now);
    }
}
