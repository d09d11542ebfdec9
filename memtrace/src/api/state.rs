//! What requests are answered from: watches on what is published, the store, and the bytes of recent answers.
//!
//! Only handles. Must not know of paths or connections.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::watch;

use super::{cache::Cache, doctor::Diagnosis};
use crate::{
    clock, container::sources, history::shared::Shared, metrics::Exporter, probe::status::ProbeStatus,
    reader::pool::Readers, snapshot::Snapshot, symbols::Symbols, verdict::Insights,
};

/// An engine that stands still for longer has no future: it publishes once a second.
const STILL_NS: u64 = 30_000_000_000;

/// What requests are answered from.
#[derive(Clone)]
pub struct Source {
    /// The latest snapshot.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// What history says of each container.
    pub insights: watch::Receiver<Arc<Insights>>,
    /// What came of the hooks.
    pub probes: Arc<ProbeStatus>,
    /// Names of user-space code.
    pub symbols: Symbols,
    /// Where the store is.
    pub state_dir: Arc<Path>,
    /// What history knows.
    pub history: Shared,
    /// Where processes are looked at, for what an explanation needs beside the snapshot.
    pub proc: Arc<Path>,
    /// Who looks there.
    pub readers: Readers,
    /// What `doctor` said at the start.
    pub diagnosis: Arc<Diagnosis>,
    /// Where names come from, to be asked by `doctor`.
    pub names: Arc<sources::Config>,
    /// Series for Prometheus.
    pub metrics: Arc<Exporter>,
    /// When the engine took in events last, ns since boot.
    pub heartbeat: Arc<AtomicU64>,
    /// Connections that were refused.
    pub refused: Arc<AtomicU64>,
}

impl Source {
    /// Whether events are taken in; if not, for how many seconds not.
    ///
    /// # Errors
    /// These seconds.
    pub fn is_alive(&self) -> Result<(), u64> {
        let still = clock::ktime().saturating_sub(self.heartbeat.load(Ordering::Relaxed));
        if still > STILL_NS { Err(still / 1_000_000_000) } else { Ok(()) }
    }
}

/// The bytes of what is asked for most.
#[derive(Default)]
pub struct Pages {
    pub(super) snapshot: Cache<Snapshot>,
    pub(super) containers: Cache<Insights>,
    pub(super) processes: Cache<Snapshot>,
    pub(super) arenas: Cache<Snapshot>,
    pub(super) insights: Cache<Insights>,
    pub(super) kills: Cache<Snapshot>,
    pub(super) metrics: Cache<Snapshot>,
}

impl Pages {
    pub(super) async fn forget(&self) {
        let Self { snapshot, containers, processes, arenas, insights, kills, metrics } = self;
        for cache in [snapshot, processes, arenas, kills, metrics] {
            cache.forget().await;
        }
        containers.forget().await;
        insights.forget().await;
    }
}

/// What handlers have.
#[derive(Clone)]
pub struct ApiState {
    /// What they answer from.
    pub source: Source,
    /// What they have answered already.
    pub pages: Arc<Pages>,
}
