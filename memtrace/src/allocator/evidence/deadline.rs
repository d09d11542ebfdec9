//! How long evidence may be gathered.
//!
//! Processor time, because a full node makes nobody's memory harder to read, and the findings are kept; and ten times as
//! much of the clock's, for a file system that is slow. Must not be shared between threads.

use std::time::{Duration, Instant};

use crate::clock;

/// On a full node a thread may get a tenth of a processor.
const CLOCK: u32 = 10;

/// An end, for the thread that set it.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    cpu: Duration,
    clock: Instant,
}

impl Deadline {
    /// After so much processor time.
    pub fn after(time: Duration) -> Self {
        Self { cpu: clock::thread_cpu().saturating_add(time), clock: Instant::now() + time * CLOCK }
    }

    /// One that is over.
    #[cfg(test)]
    pub fn past() -> Self {
        Self { cpu: Duration::ZERO, clock: Instant::now() }
    }

    /// Whether the time is over.
    pub fn is_over(&self) -> bool {
        self.is_past(clock::thread_cpu(), Instant::now())
    }

    fn is_past(&self, cpu: Duration, clock: Instant) -> bool {
        cpu > self.cpu || clock > self.clock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_has_more_time_than_who_works() {
        let (time, now, spent) = (Duration::from_secs(60), Instant::now(), clock::thread_cpu());
        let deadline = Deadline::after(time);
        assert!(!deadline.is_over());
        assert!(!deadline.is_past(spent, now + 2 * time), "a full node");
        assert!(deadline.is_past(spent + 2 * time, now), "its own work");
        assert!(deadline.is_past(spent, now + 2 * CLOCK * time), "a file system that is too slow");
    }
}
