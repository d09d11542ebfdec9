//! The history that one task writes and others read: the recorder of kills, the API, the file.
//!
//! A [`History`] and the kills of each workload, behind locks. A lock must not be held for longer than one read.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::History;
use crate::container::workload_labels::WorkloadLabels;

/// The history, and how often each workload's processes were killed.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    history: Arc<Mutex<History>>,
    /// By labels, which survive a container's restart.
    kills: Arc<Mutex<HashMap<WorkloadLabels, u64>>>,
}

impl Shared {
    /// Shares an existing history.
    pub fn with(history: History) -> Self {
        Self { history: Arc::new(Mutex::new(history)), kills: Arc::default() }
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

    fn counts(&self) -> MutexGuard<'_, HashMap<WorkloadLabels, u64>> {
        self.kills.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
