//! What fills the heaps of processes that come near their limit, by type: looked at before the kill, because afterwards
//! there is nothing to look at. In a thread of its own: a reader takes up to a quarter of a second for each.
//!
//! Snapshots -> looks at the largest processes of the groups near their limit, the last two of each. A record -> the same
//! with those of its victim. Must not read by itself: [`Reader`] does. No kill waits for a look.

mod kept;
mod plan;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::sync::watch;

use self::{
    kept::{Kept, Look},
    plan::{Plan, Target},
};
use crate::{clock, health::Beat, oom::record::OomRecord, reader::Reader, snapshot::Snapshot};

/// How often the snapshots are looked at.
const ROUND: Duration = Duration::from_millis(500);
/// The thread rests so many times as long as a look took: it takes a twentieth of one CPU at most.
const REST: u32 = 19;
/// The longest rest, because a look that waited for a lock cost nothing.
const LONGEST_REST: Duration = Duration::from_secs(10);

/// The running thread. It ends with the snapshots, and nothing waits for it.
pub struct Heaps {
    kept: Arc<Mutex<Kept>>,
}

impl Heaps {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        mut reader: impl Reader + 'static,
        snapshots: watch::Receiver<Arc<Snapshot>>,
        beat: Beat,
    ) -> anyhow::Result<Self> {
        let kept = Arc::<Mutex<Kept>>::default();
        let shared = Arc::clone(&kept);
        std::thread::Builder::new()
            .name("heaps".to_owned())
            .spawn(move || {
                let mut plan = Plan::default();
                let mut rest = Duration::ZERO;
                // An error means that the engine has ended.
                while snapshots.has_changed().is_ok() {
                    beat.wait(|| std::thread::sleep(rest.max(ROUND)));
                    let snapshot = Arc::clone(&snapshots.borrow());
                    rest = round(&mut reader, &snapshot, &mut plan, &shared);
                }
            })
            .context("failed to start the heaps thread")?;
        Ok(Self { kept })
    }

    /// Adds what is known of the heaps of the victim, and of the largest processes under the same limit.
    pub fn fill(&self, record: &mut OomRecord) {
        record.circumstances.objects = lock(&self.kept).of(record);
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    // Looks are whole at any time.
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks at the process where it is most urgent. Returns how long to rest.
fn round(reader: &mut dyn Reader, snapshot: &Snapshot, plan: &mut Plan, kept: &Mutex<Kept>) -> Duration {
    let Some(target) = plan.next(snapshot, Instant::now()) else { return Duration::ZERO };
    let (begun, began) = (Instant::now(), clock::ktime());
    if !reader.was_there(target.pid, began) {
        return Duration::ZERO;
    }
    let census = reader.objects(target.pid);
    let took = begun.elapsed();
    let has_any = census.as_ref().is_ok_and(|census| !census.heaps.is_empty());
    plan.looked(&target, has_any, took, Instant::now());
    let Target { pid, started, comm, cgroup, .. } = target;
    // The lock is not held while the reader works.
    lock(kept).put(Look { pid, started, comm, cgroup, began, ended: clock::ktime(), census });
    (took * REST).min(LONGEST_REST)
}
