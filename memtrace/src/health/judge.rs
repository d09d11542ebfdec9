//! The judge: finds the threads that work without a beat.
//!
//! Rounds -> threads that became late, or well again. Must not measure time by itself.

use std::{collections::HashMap, sync::atomic::Ordering::Relaxed};

use super::{Beats, Thread};

/// What a judge knows of the threads.
#[derive(Debug, Default)]
pub struct Judge {
    seen: HashMap<&'static str, Seen>,
}

/// A thread at the last round.
#[derive(Clone, Copy, Debug)]
struct Seen {
    count: u64,
    /// Rounds since it last made progress.
    still: u64,
    /// When it was last known to be well, in ns since boot.
    well_at: u64,
}

/// A change that a round found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The thread has not made progress since then, in ns since boot.
    Late(Thread, u64),
    /// The thread makes progress again.
    Well(Thread),
}

impl Judge {
    /// Looks at the threads that `judges` names, at this time in ns since boot. Must be called once a round.
    pub fn round(&mut self, beats: &Beats, now: u64, judges: impl Fn(&Thread) -> bool) -> Vec<Change> {
        let mut changes = Vec::new();
        for pulse in beats.lock().iter().filter(|pulse| judges(&pulse.thread)) {
            let thread = pulse.thread;
            let count = pulse.count.load(Relaxed);
            let is_waiting = count.is_multiple_of(2);
            let seen = match self.seen.get(thread.name) {
                Some(seen) if seen.count == count && !is_waiting => {
                    Seen { still: seen.still.saturating_add(1), ..*seen }
                }
                _ => Seen { count, still: 0, well_at: now },
            };
            self.seen.insert(thread.name, seen);
            let late_since = if seen.still > thread.rounds { seen.well_at.max(1) } else { 0 };
            match (pulse.late_since.swap(late_since, Relaxed), late_since) {
                (0, since) if since != 0 => changes.push(Change::Late(thread, since)),
                (before, 0) if before != 0 => changes.push(Change::Well(thread)),
                _ => {}
            }
        }
        changes
    }
}
