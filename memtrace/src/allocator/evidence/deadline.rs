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

    /// Whether the time is over.
    pub fn is_over(&self) -> bool {
        clock::thread_cpu() > self.cpu || Instant::now() > self.clock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_has_time_left_and_who_works_has_not() {
        let deadline = Deadline::after(Duration::from_millis(300));
        std::thread::sleep(Duration::from_millis(350));
        assert!(!deadline.is_over(), "it was not its own time");
        while !deadline.is_over() {
            std::hint::spin_loop();
        }
        assert!(clock::thread_cpu() > deadline.cpu || Instant::now() > deadline.clock);
    }
}
