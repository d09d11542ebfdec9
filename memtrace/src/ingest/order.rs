//! Sorts events of several ring buffers and CPUs by time.
//!
//! Input: events in the order of reading. Output: events, oldest first. Each event waits until no older one can still
//! arrive: programs take the time before they reserve, so events in a ring may be out of order by the length of an
//! interrupt. Pure: the caller gives the time.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use super::decode::{CgroupEvent, Event, KillEvent};

/// How long an event waits for older ones, in nanoseconds.
pub const WINDOW: u64 = 2_000_000;
const SIGKILL: u32 = 9;
/// `TRACE_SIGNAL_DELIVERED`.
const DELIVERED: u32 = 0;

/// Events that wait for older ones.
#[derive(Debug, Default)]
pub struct Reorder {
    waiting: BinaryHeap<Reverse<Waiting>>,
    /// How many of them can wait for the next regular read.
    patient: usize,
    arrivals: u64,
    released: u64,
    late: u64,
}

#[derive(Debug)]
struct Waiting {
    ktime: u64,
    arrival: u64,
    event: Event,
}

impl Waiting {
    fn key(&self) -> (u64, u64) {
        (self.ktime, self.arrival)
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl Reorder {
    /// Takes an event. One that is older than an already released event is still passed on, and counted.
    pub fn push(&mut self, event: Event) {
        let ktime = event.header().ktime;
        if ktime < self.released {
            self.late += 1;
        }
        self.arrivals += 1;
        self.patient += usize::from(is_patient(&event));
        self.waiting.push(Reverse(Waiting { ktime, arrival: self.arrivals, event }));
    }

    /// The next event that is at least [`WINDOW`] older than `now`.
    pub fn pop(&mut self, now: u64) -> Option<Event> {
        let Reverse(oldest) = self.waiting.peek()?;
        if oldest.ktime.saturating_add(WINDOW) > now {
            return None;
        }
        let Reverse(oldest) = self.waiting.pop()?;
        self.released = self.released.max(oldest.ktime);
        self.patient -= usize::from(is_patient(&oldest.event));
        Some(oldest.event)
    }

    /// True while events wait that should be handled as soon as the window is over.
    pub fn is_waiting(&self) -> bool {
        self.waiting.len() > self.patient
    }

    /// The number of events that arrived after a later one had been released.
    pub fn late(&self) -> u64 {
        self.late
    }
}

/// What is sent without a wakeup because a container can cause it at will must not shorten the wait either.
fn is_patient(event: &Event) -> bool {
    match event {
        Event::Kill(KillEvent::Signal(signal)) => signal.signal != SIGKILL || signal.result != DELIVERED,
        Event::Cgroup(CgroupEvent::CgroupRmdir(_)) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use memtrace_common::event::{Header, Kind, kill::Signal, space::Brk};
    use proptest::prelude::*;
    use zerocopy::FromZeros as _;

    use super::{super::decode::SpaceEvent, Event, KillEvent, Reorder, SIGKILL, WINDOW};

    fn at(ktime: u64) -> Event {
        let header = Header { ktime, tgid: 0, tid: 0, kind: Kind::Brk as u16, cpu: 0, reserved: 0 };
        Event::Space(SpaceEvent::Brk(Brk { header, brk: 0 }))
    }

    #[test]
    fn an_event_waits_for_the_window() {
        let mut order = Reorder::default();
        order.push(at(100));
        assert_eq!(order.pop(100 + WINDOW - 1), None);
        assert!(order.is_waiting());
        assert_eq!(order.pop(100 + WINDOW), Some(at(100)));
        assert!(!order.is_waiting());
    }

    fn signal_at(ktime: u64, number: u32) -> Event {
        let mut signal = Signal::new_zeroed();
        (signal.header.kind, signal.header.ktime, signal.signal) = (Kind::Signal as u16, ktime, number);
        Event::Kill(KillEvent::Signal(Box::new(signal)))
    }

    #[test]
    fn a_signal_other_than_sigkill_does_not_shorten_the_wait_and_comes_in_order() {
        let mut order = Reorder::default();
        order.push(signal_at(150, 15));
        assert!(!order.is_waiting());
        order.push(signal_at(200, SIGKILL));
        order.push(at(100));
        let mut out = Vec::new();
        while let Some(event) = order.pop(200 + WINDOW) {
            out.push((event.header().ktime, order.is_waiting()));
        }
        assert_eq!(out, [(100, true), (150, true), (200, false)]);
    }

    #[test]
    fn an_event_that_comes_too_late_is_kept_and_counted() {
        let mut order = Reorder::default();
        order.push(at(200));
        assert!(order.pop(200 + WINDOW).is_some());
        order.push(at(100));
        assert_eq!(order.late(), 1);
        assert_eq!(order.pop(200 + WINDOW), Some(at(100)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn all_come_out_in_order(times in prop::collection::vec(0_u64..1_000_000, 0..200)) {
            let mut order = Reorder::default();
            for time in &times {
                order.push(at(*time));
            }
            let out: Vec<u64> = std::iter::from_fn(|| order.pop(u64::MAX)).map(|e| e.header().ktime).collect();
            let mut sorted = times;
            sorted.sort_unstable();
            prop_assert_eq!(out, sorted);
        }
    }
}
