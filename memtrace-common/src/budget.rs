//! Budgets: how many facts the kernel programs send that a container can cause at will.
//!
//! Input: the state of a budget, the time. Output: its new state, or a refusal. Pure, so that it can be tested here and
//! runs in the kernel: one word of state, no division, no loop. [ADR 6](../../docs/adr/0006-budgets-in-the-kernel.md)
//! gives the reasons for the numbers.

use crate::event::{cgroup::Cgroup, kill::Signal, oom::OomKill};

const SECOND: u64 = 1_000_000_000;

/// Signals of one number that the tasks of one cgroup send to those of one cgroup.
pub const SIGNALS_OF_PAIR: Bucket = Bucket::new(64, 64);
/// Signals of one [`Share`] on the whole node.
pub const SIGNALS_OF_NODE: Bucket = Bucket::new(1024, 256);
/// Cgroups that the tasks of one cgroup make; the same for those that they remove.
pub const CGROUPS_OF_ONE: Bucket = Bucket::new(128, 256);
/// Cgroups that are made on the whole node; the same for those that are removed.
pub const CGROUPS_OF_NODE: Bucket = Bucket::new(512, 512);
/// Wakeups of the daemon by SIGKILL; the same by new cgroups. A record that does not wake it is read within 50 ms.
pub const WAKEUPS: Bucket = Bucket::new(64, 64);

/// Bytes that the kernel adds to each record of a ring buffer (`BPF_RINGBUF_HDR_SZ`).
const RING_HEADER: u64 = 8;
/// Unread kills that their ring must hold, with half as many again as a margin.
const KILLS_MOST: u64 = 1_000;
/// Bytes of the ring for OOM kills, a power of two: 1,985 kills of 4,224 bytes.
pub const KILLS_RING: u32 = 8 << 20;
/// Bytes of the ring for signals: about 2,900 of 176 bytes.
pub const SIGNALS_RING: u32 = 512 << 10;
/// Unread bytes in that ring above which it is closed to all but SIGKILL and SIGTERM from another cgroup.
pub const SIGNALS_RESERVE_ABOVE: u64 = (SIGNALS_RING / 4 * 3) as u64;
/// The longest time between two reads of the rings for which no signal within its budget is lost, in ns.
const SIGNALS_UNREAD: u64 = SECOND / 10;

const _: () = {
    assert!(KILLS_MOST * (size_of::<OomKill>() as u64 + RING_HEADER) * 3 / 2 <= KILLS_RING as u64);
    let signals = Share::COUNT as u64 * SIGNALS_OF_NODE.most_in(SIGNALS_UNREAD);
    assert!(signals * (size_of::<Signal>() as u64 + RING_HEADER) < SIGNALS_RESERVE_ABOVE);
    // The stream holds 4 MiB; cgroups must leave most of it to other events.
    let cgroups = 2 * CGROUPS_OF_NODE.most_in(SECOND / 20);
    assert!(cgroups * (size_of::<Cgroup>() as u64 + RING_HEADER) < 2 << 20);
};

/// A token bucket. Its state is one word: the time in ns since boot at which it is full again; 0 is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The time in which one token comes back, in ns.
    interval: u64,
    /// The time in which all come back.
    depth: u64,
}

impl Bucket {
    /// What [`Self::take`] returns when the bucket is empty. Not an `Option`, for the reason in `memtrace-ebpf`'s
    /// `kernel::read`.
    pub const EMPTY: u64 = 0;

    /// A bucket that holds `burst` tokens and gets `per_second` back each second.
    pub const fn new(per_second: u64, burst: u64) -> Self {
        let interval = SECOND / per_second;
        Self { interval, depth: interval * burst }
    }

    /// Takes a token. Returns the new state, or [`Self::EMPTY`], which leaves the state as it is.
    #[inline(always)]
    pub const fn take(&self, full_at: u64, now: u64) -> u64 {
        let from = if full_at > now { full_at } else { now };
        let next = from.wrapping_add(self.interval);
        let missing = next.wrapping_sub(now);
        if missing <= self.depth { next } else { Self::EMPTY }
    }

    /// The most tokens that can be taken in this many ns.
    pub const fn most_in(&self, ns: u64) -> u64 {
        self.depth / self.interval + ns / self.interval + 1
    }
}

/// The signals that share a budget of the node: by number, and by whether they come from another cgroup.
///
/// What a container does to itself must not hide what is done to it: a runtime, systemd and an administrator send from
/// another cgroup than the container's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Share {
    /// SIGKILL from the same cgroup.
    KillInside,
    /// SIGTERM from the same cgroup.
    TermInside,
    /// Others from the same cgroup.
    OtherInside,
    /// SIGKILL from another cgroup.
    KillOutside,
    /// SIGTERM from another cgroup.
    TermOutside,
    /// Others from another cgroup.
    OtherOutside,
}

impl Share {
    /// Their number.
    pub const COUNT: u32 = 6;

    /// The share of a signal.
    #[inline(always)]
    pub const fn of(signal: u32, is_inside: bool) -> Self {
        match (signal, is_inside) {
            (SIGKILL, true) => Self::KillInside,
            (SIGTERM, true) => Self::TermInside,
            (_, true) => Self::OtherInside,
            (SIGKILL, false) => Self::KillOutside,
            (SIGTERM, false) => Self::TermOutside,
            (_, false) => Self::OtherOutside,
        }
    }

    /// Whether it may use the last quarter of the ring: the orders of those who manage containers.
    #[inline(always)]
    pub const fn may_use_reserve(self) -> bool {
        matches!(self, Self::KillOutside | Self::TermOutside)
    }
}

const SIGKILL: u32 = 9;
const SIGTERM: u32 = 15;

#[cfg(test)]
mod tests {
    use super::{Bucket, CGROUPS_OF_ONE, SECOND, SIGNALS_OF_PAIR, Share};

    /// The tokens that somebody gets who asks at each of these times.
    fn taken(bucket: &Bucket, times: impl IntoIterator<Item = u64>) -> u64 {
        let (mut state, mut taken) = (0, 0);
        for now in times {
            let next = bucket.take(state, now);
            if next != Bucket::EMPTY {
                (state, taken) = (next, taken + 1);
            }
        }
        taken
    }

    #[test]
    fn a_bucket_that_was_left_alone_gives_its_burst() {
        for now in [0, 1, 7 * SECOND] {
            assert_eq!(taken(&SIGNALS_OF_PAIR, [now; 1000]), 64, "at {now}");
            assert_eq!(taken(&CGROUPS_OF_ONE, [now; 1000]), 256, "at {now}");
        }
    }

    #[test]
    fn whoever_asks_all_the_time_gets_the_burst_and_the_rate() {
        let bucket = Bucket::new(100, 10);
        // 10,000 requests a second for ten seconds.
        let times = (0..100_000).map(|index| SECOND + index * (SECOND / 10_000));
        assert_eq!(taken(&bucket, times), 10 + 10 * 100 - 1);
        assert!(bucket.most_in(10 * SECOND) >= 10 + 10 * 100 - 1);
    }

    #[test]
    fn whoever_asks_at_the_rate_is_never_refused() {
        let bucket = Bucket::new(100, 1);
        assert_eq!(taken(&bucket, (0..1000).map(|index| SECOND + index * (SECOND / 100))), 1000);
    }

    #[test]
    fn no_time_gets_more_than_is_promised() {
        let bucket = Bucket::new(64, 64);
        for span in [0, 1, SECOND / 64, SECOND / 5, SECOND, 3 * SECOND] {
            let times = (0..=20_000).map(|index| SECOND + span * index / 20_000);
            let taken = taken(&bucket, times);
            assert!(taken <= bucket.most_in(span), "{taken} in {span} ns");
        }
    }

    #[test]
    fn it_fills_up_while_nobody_asks_and_no_further() {
        let bucket = Bucket::new(10, 3);
        let empty = SECOND;
        let later = |ns| taken(&bucket, [empty; 5].into_iter().chain([empty + ns; 5]));
        assert_eq!(later(0), 3);
        assert_eq!(later(SECOND / 10), 4);
        assert_eq!(later(SECOND), 6);
        assert_eq!(later(60 * SECOND), 6);
    }

    #[test]
    fn each_kind_of_signal_has_its_share() {
        let mut all: Vec<u32> = Vec::new();
        for is_inside in [true, false] {
            for signal in [6, 7, 9, 11, 15] {
                let share = Share::of(signal, is_inside);
                assert_eq!(share.may_use_reserve(), !is_inside && matches!(signal, 9 | 15), "{signal}");
                all.push(share as u32);
            }
        }
        all.sort_unstable();
        all.dedup();
        assert_eq!(all, (0..Share::COUNT).collect::<Vec<_>>());
    }
}
