//! Which threads of the daemon work, wait, hang or have ended.
//!
//! Beats of the threads, rounds of a [`Judge`] -> [`Health`]. A thread that waits for work is well; one that works and
//! does not beat for its number of rounds is late. Rounds are counted, not seconds: a stopped daemon (SIGSTOP, a frozen
//! cgroup, a suspended machine) has no rounds either. Must not do I/O.

mod judge;
mod state;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::sync::Notify;

pub use self::{
    judge::{Change, Judge},
    state::{Health, State, ThreadHealth},
};
use crate::clock;

/// The time between two rounds.
pub const ROUND: Duration = Duration::from_secs(1);

/// A thread or task that beats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Its name, which no other has.
    pub name: &'static str,
    /// Whether its hang is a reason to restart the daemon: without it kills are not recorded or questions not answered.
    /// Any other may wait for file systems and locks of containers; a restart would not end that wait, and no container
    /// may cause a restart.
    pub is_vital: bool,
    /// The most rounds of work without a beat.
    pub rounds: u64,
}

/// The beats of all threads of a daemon; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Beats(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    pulses: Mutex<Vec<Arc<Pulse>>>,
    is_stopping: AtomicBool,
    ended: Notify,
}

/// One thread, as it is seen from outside.
#[derive(Debug)]
struct Pulse {
    thread: Thread,
    /// Increases with each beat; odd while the thread works, even while it waits.
    count: AtomicU64,
    /// When it ended, in ns since boot; 0 while it runs.
    ended: AtomicU64,
    /// When it was last known to be well, in ns since boot; 0 while it is not late.
    late_since: AtomicU64,
}

impl Beats {
    /// The beat of a thread that is about to start; it waits at first.
    pub fn watch(&self, thread: Thread) -> Beat {
        let pulse = Arc::new(Pulse {
            thread,
            count: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            late_since: AtomicU64::new(0),
        });
        self.lock().push(Arc::clone(&pulse));
        Beat { pulse, shared: Arc::clone(&self.0) }
    }

    /// From now on threads end because the daemon does.
    pub fn stop(&self) {
        self.0.is_stopping.store(true, Relaxed);
    }

    /// Whether the daemon is ending.
    pub fn is_stopping(&self) -> bool {
        self.0.is_stopping.load(Relaxed)
    }

    /// Waits for a thread that ends although the daemon does not; returns its name.
    pub async fn ended(&self) -> &'static str {
        loop {
            let ended = self.0.ended.notified();
            if let Some(name) =
                self.lock().iter().find(|pulse| pulse.has_ended()).map(|pulse| pulse.thread.name)
            {
                return name;
            }
            ended.await;
        }
    }

    /// The health now.
    pub fn health(&self) -> Health {
        Health { threads: self.lock().iter().map(|pulse| pulse.health()).collect() }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Pulse>>> {
        self.0.pulses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pulse {
    fn has_ended(&self) -> bool {
        self.ended.load(Relaxed) != 0
    }

    fn health(&self) -> ThreadHealth {
        let Thread { name, is_vital, .. } = self.thread;
        let state = match (self.ended.load(Relaxed), self.late_since.load(Relaxed)) {
            (0, 0) => State::Well,
            (0, since) => State::Late { since: clock::wall(since) },
            (at, _) => State::Ended { at: clock::wall(at) },
        };
        ThreadHealth { name: name.to_owned(), is_vital, state }
    }
}

/// Held by a thread for as long as it runs. Dropping it says that the thread has ended.
#[derive(Debug)]
pub struct Beat {
    pulse: Arc<Pulse>,
    shared: Arc<Shared>,
}

impl Beat {
    /// The beat of a thread that nobody watches.
    pub fn unwatched(thread: Thread) -> Self {
        Beats::default().watch(thread)
    }

    /// The thread works, and makes progress.
    pub fn beat(&self) {
        let count = self.pulse.count.load(Relaxed);
        self.pulse.count.store((count | 1).wrapping_add(2), Relaxed);
    }

    /// The thread waits for work, for as long as it takes.
    pub fn rest(&self) {
        let count = self.pulse.count.load(Relaxed);
        self.pulse.count.store((count | 1).wrapping_add(1), Relaxed);
    }

    /// Waits for work by this function.
    pub fn wait<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.rest();
        let work = wait();
        self.beat();
        work
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        if !self.shared.is_stopping.load(Relaxed) {
            self.pulse.ended.store(clock::ktime().max(1), Relaxed);
            self.shared.ended.notify_waiters();
        }
    }
}

#[cfg(test)]
#[path = "health/tests.rs"]
mod tests;
