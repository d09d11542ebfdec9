//! Sorts events of several ring buffers and CPUs by time.
//!
//! Input: events in the order of reading. Output: events, oldest first. Each event waits until no older one can still
//! arrive: programs take the time before they reserve, so events in a ring may be out of order by the length of an
//! interrupt. Pure: the caller gives the time.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use super::decode::Event;

/// How long an event waits for older ones, in nanoseconds.
pub const WINDOW: u64 = 2_000_000;

/// Events that wait for older ones.
#[derive(Debug, Default)]
pub struct Reorder {
    waiting: BinaryHeap<Reverse<Waiting>>,
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
        Some(oldest.event)
    }

    /// True while events wait.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The number of events that arrived after a later one had been released.
    pub fn late(&self) -> u64 {
        self.late
    }
}

#[cfg(test)]
mod tests {
    use memtrace_common::event::{Header, Kind, space::Brk};
    use proptest::prelude::*;

    use super::{super::decode::SpaceEvent, Event, Reorder, WINDOW};

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
