//! What became of the kills that were to be sent.
//!
//! Shared between the sender and the metrics. Must not decide anything.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// What became of kills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Taken by the collector.
    pub sent: u64,
    /// Refused by the collector, unreadable, or deleted before they were sent.
    pub dropped: u64,
    /// Requests that failed and are repeated.
    pub failures: u64,
}

/// The counts, as they grow.
#[derive(Clone, Debug, Default)]
pub struct Sent(Arc<[AtomicU64; 3]>);

impl Sent {
    /// The counts now.
    pub fn counts(&self) -> Counts {
        let [sent, dropped, failures] =
            [0, 1, 2].map(|at| self.0.get(at).map_or(0, |count| count.load(Relaxed)));
        Counts { sent, dropped, failures }
    }

    /// Counts more.
    pub fn add(&self, Counts { sent, dropped, failures }: Counts) {
        for (count, more) in self.0.iter().zip([sent, dropped, failures]) {
            count.fetch_add(more, Relaxed);
        }
    }
}
