//! The advised sizes of all workloads, for `top` and metrics: computed from the store every hour.
//!
//! The store -> requests and limits by workload, for whoever watches. Reads with a connection of its own and keeps only
//! the results.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use crate::{
    history::lasting::slot_of,
    probe::links::chain,
    sizing::{advise::advise, versions::Histories},
    store::{Store, StoreError, workload_rows::DAYS},
    units::Bytes,
};

/// How often it is computed: days change slowly.
const EVERY: Duration = Duration::from_secs(3600);

/// The most workloads, those that were seen last: jobs may leave thousands behind. A workload takes some 1 KiB a day while
/// it is computed, and the store has room for 4,000 whole days.
const MOST_WORKLOADS: u32 = 2_048;

/// Advised request and limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The request.
    pub request: Bytes,
    /// The limit.
    pub limit: Bytes,
}

/// The sizes of each workload that has some, by its label.
pub type Advised = BTreeMap<String, Sizes>;

/// Starts it on the current runtime; it ends when nobody watches.
pub fn start(state_dir: &Path) -> watch::Receiver<Arc<Advised>> {
    let (sender, receiver) = watch::channel(Arc::default());
    let dir: PathBuf = state_dir.to_owned();
    tokio::spawn(async move {
        let mut every = tokio::time::interval(EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !sender.is_closed() {
            every.tick().await;
            let dir = dir.clone();
            match tokio::task::spawn_blocking(move || advised(&dir, Timestamp::now())).await {
                Ok(Ok(advised)) => drop(sender.send_replace(Arc::new(advised))),
                Ok(Err(error)) => {
                    tracing::debug!(error = %chain(&error), "failed to read the history of workloads")
                }
                // After a panic, which is in the log, or at the end of the runtime.
                Err(_) => return,
            }
        }
    });
    receiver
}

fn advised(dir: &Path, now: Timestamp) -> Result<Advised, StoreError> {
    let store = Store::open_read_only(dir)?;
    let begin = now.checked_sub(SignedDuration::from_hours(i64::from(DAYS) * 24)).unwrap_or(Timestamp::MIN);
    let mut histories = Histories::default();
    let since = slot_of(begin.as_second());
    store.each_row(since, MOST_WORKLOADS, |_| true, |workload, row| histories.push(workload, &row))?;
    let all = histories.finish(|_| true);
    let sizes = all.iter().filter_map(|(workload, days)| {
        let advice = advise(workload, days, now);
        let (request, limit) = advice.request_bytes.zip(advice.limit_bytes)?;
        Some((advice.workload, Sizes { request, limit }))
    });
    Ok(sizes.collect())
}
