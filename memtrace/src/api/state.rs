//! The state of the request handlers: watches on published values, the store, and cached responses.
//!
//! Only handles. Must not know of paths or connections.

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

use tokio::sync::watch;

use super::{cache::Cache, doctor::Diagnosis, interest::Interest, lane::Lane};
use crate::{
    container::sources, health::Beats, history::shared::Shared, metrics::Exporter,
    probe::status::ProbeStatus, reader::pool::Readers, snapshot::Snapshot, symbols::Symbols,
    verdict::Insights,
};

/// The data that requests are answered from.
#[derive(Clone)]
pub struct Source {
    /// The latest snapshot.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Insights from history for each container.
    pub insights: watch::Receiver<Arc<Insights>>,
    /// The status of the hooks.
    pub probes: Arc<ProbeStatus>,
    /// Names of user-space code.
    pub symbols: Symbols,
    /// The directory of the store.
    pub state_dir: Arc<Path>,
    /// The shared history.
    pub history: Shared,
    /// The /proc for the facts that an explanation needs besides the snapshot.
    pub proc: Arc<Path>,
    /// The reader processes that collect these facts.
    pub readers: Readers,
    /// The diagnosis of `doctor` at the start.
    pub diagnosis: Arc<Diagnosis>,
    /// The sources of names, which `doctor` queries.
    pub names: Arc<sources::Config>,
    /// Series for Prometheus.
    pub metrics: Arc<Exporter>,
    /// The beats of the daemon's threads.
    pub beats: Beats,
    /// Connections that were refused.
    pub refused: Arc<AtomicU64>,
    /// The lane of requests that wait for readers.
    pub lane: Arc<Lane>,
    /// Whether somebody looks.
    pub interest: Interest,
}

/// The cached bytes of the most requested paths.
#[derive(Default)]
pub struct Pages {
    pub(super) snapshot: Cache<Snapshot>,
    pub(super) containers: Cache<Insights>,
    pub(super) processes: Cache<Snapshot>,
    pub(super) arenas: Cache<Snapshot>,
    pub(super) insights: Cache<Insights>,
    pub(super) kills: Cache<Snapshot>,
    pub(super) metrics: Cache<Snapshot>,
    /// The part of the node's web page that changes.
    pub node: Cache<Snapshot>,
}

impl Pages {
    /// Frees the bytes that were made of older snapshots than this one.
    pub(super) async fn forget(&self, newest: &Arc<Snapshot>) {
        let Self { snapshot, containers, processes, arenas, insights, kills, metrics, node } = self;
        for cache in [snapshot, processes, arenas, kills, metrics, node] {
            cache.forget_all_but(newest).await;
        }
        containers.forget().await;
        insights.forget().await;
    }
}

/// The state passed to handlers.
#[derive(Clone)]
pub struct ApiState {
    /// The data.
    pub source: Source,
    /// The cached responses.
    pub pages: Arc<Pages>,
}
