//! The history that one task writes and others read: the recorder of kills, the API, the file.
//!
//! A [`History`] and the kills of each workload, behind locks. A lock must not be held for longer than one read.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    History,
    lasting::{Dropped, Fold, Row},
};
use crate::{
    container::{workload::Workload, workload_labels::WorkloadLabels},
    snapshot::Snapshot,
};

/// The history, and how often each workload's processes were killed.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    history: Arc<Mutex<History>>,
    /// By labels, which survive a container's restart.
    kills: Arc<Mutex<HashMap<WorkloadLabels, u64>>>,
    /// Rows that last, in the making.
    lasting: Arc<Mutex<Fold>>,
    /// What they had no room for, for readers that must not wait.
    dropped: Arc<DroppedSoFar>,
}

#[derive(Debug, Default)]
struct DroppedSoFar {
    readings: AtomicU64,
    rows: AtomicU64,
}

impl Shared {
    /// Shares an existing history.
    pub fn with(history: History) -> Self {
        Self { history: Arc::new(Mutex::new(history)), ..Self::default() }
    }

    /// Locks the history. Hold the lock no longer than reading one series takes, because kills wait for it.
    pub fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts kills of this container's processes.
    pub fn count_kills(&self, of: WorkloadLabels, kills: u64) {
        *self.counts().entry(of).or_default() += kills;
    }

    /// Kills of this container's processes so far.
    pub fn kills(&self, of: &WorkloadLabels) -> u64 {
        self.counts().get(of).copied().unwrap_or_default()
    }

    /// Folds a snapshot into the rows that last.
    pub fn fold(&self, snapshot: &Arc<Snapshot>, now: u64) {
        let mut fold = self.lasting();
        fold.take(snapshot, now);
        let Dropped { readings, rows } = fold.dropped();
        self.dropped.readings.store(readings, Ordering::Relaxed);
        self.dropped.rows.store(rows, Ordering::Relaxed);
    }

    /// The rows that are finished; all, also the present ones, if `is_end`. They stay until [`Self::forget_rows`].
    pub fn finished_rows(&self, is_end: bool) -> Vec<(Arc<Workload>, Row)> {
        if is_end {
            let mut fold = self.lasting();
            fold.flush();
            return fold.finished();
        }
        // The recorder of kills asks, and waits for nobody.
        match self.lasting.try_lock() {
            Ok(fold) if fold.has_finished() => fold.finished(),
            _ => Vec::new(),
        }
    }

    /// What the rows that last had no room for so far. Does not wait.
    pub fn dropped(&self) -> Dropped {
        let DroppedSoFar { readings, rows } = &*self.dropped;
        Dropped { readings: readings.load(Ordering::Relaxed), rows: rows.load(Ordering::Relaxed) }
    }

    /// Drops so many finished rows, which are stored.
    pub fn forget_rows(&self, rows: usize) {
        self.lasting().forget(rows);
    }

    fn lasting(&self) -> MutexGuard<'_, Fold> {
        self.lasting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<WorkloadLabels, u64>> {
        self.kills.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
