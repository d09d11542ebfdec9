//! What the API answers from: the rooms behind each path.
//!
//! The published snapshots, the probes, the store -> a [`Source`].

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
};

use tokio::sync::watch;

use crate::{
    api::{
        doctor::{Diagnosis, Known},
        listen::{self, Socket},
        server::{self, Explain, Later, Past, Port, Source},
    },
    container::sources::{self, examine},
    daemon::{Config, PROC},
    explain::{explain, facts, find},
    metrics::{Exporter, Inputs, self_usage},
    snapshot::Snapshot,
    store::Store,
    symbols::Symbols,
    verdict::Insights,
};

/// Where the daemon can be asked.
pub struct Listeners {
    /// The socket.
    pub socket: Socket,
    /// The TCP port, if there is to be one.
    pub port: Option<Port>,
}

/// Binds them. Takes the right to give files away, and for low ports another.
///
/// # Errors
/// When one of them cannot be had, or the token is none.
pub fn listeners(config: &Config) -> anyhow::Result<Listeners> {
    let socket = listen::bind(&config.socket)?;
    if let Some(file) = &config.token_file {
        server::read_token(file)?;
    }
    let port = config.listen.map(|address| {
        let listener = listen::bind_port(address)?;
        anyhow::Ok(Port { listener, token: config.token_file.clone() })
    });
    Ok(Listeners { socket, port: port.transpose()? })
}

/// What the daemon publishes, and when it did last.
pub struct Published {
    /// Snapshots.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Insights.
    pub insights: watch::Receiver<Arc<Insights>>,
    /// When the engine took in events last, ns since boot.
    pub heartbeat: Arc<AtomicU64>,
}

/// Puts it together.
///
/// # Errors
/// When a thread cannot be started.
pub fn source(
    config: &Config,
    published: Published,
    diagnosis: Diagnosis,
    past: Past,
) -> anyhow::Result<Source> {
    let Published { snapshots, insights, heartbeat } = published;
    let probes = Arc::new(diagnosis.probes.clone());
    let refused = Arc::new(AtomicU64::new(0));
    let facts = {
        let (snapshots, insights) = (snapshots.clone(), insights.clone());
        let (probes, refused) = (Arc::clone(&probes), Arc::clone(&refused));
        let state_dir: PathBuf = config.state_dir.clone();
        move || {
            let store = Store::open_read_only(&state_dir).ok();
            Inputs {
                snapshot: Arc::clone(&snapshots.borrow()),
                insights: Arc::clone(&insights.borrow()),
                probes: Arc::clone(&probes),
                tallies: store.as_ref().and_then(|store| store.tallies().ok()),
                members: store.as_ref().and_then(|store| store.member_tallies().ok()),
                own: self_usage::own(Path::new(PROC), &state_dir, store.as_ref(), &refused),
            }
        }
    };
    let exporter = Exporter::new(config.metrics_containers, facts)?;
    Ok(Source {
        doctor: doctor(diagnosis, config.names.clone(), snapshots.clone()),
        snapshots,
        insights,
        probes,
        symbols: Symbols::start(Path::new(PROC))?,
        state_dir: config.state_dir.as_path().into(),
        past,
        explain: explainer(),
        metrics: Arc::new(move || exporter.text()),
        heartbeat,
        refused,
    })
}

fn explainer() -> Explain {
    Arc::new(|snapshot, insights, word| {
        let subject = find(snapshot, word).ok()?;
        let facts = facts::gather(Path::new(PROC), snapshot, &subject);
        serde_json::to_value(explain(snapshot, Some(insights), &facts, &subject)).ok()
    })
}

/// The hooks are as they were attached; the runtimes are asked now.
fn doctor(
    diagnosis: Diagnosis,
    names: sources::Config,
    snapshots: watch::Receiver<Arc<Snapshot>>,
) -> Later<serde_json::Value> {
    Arc::new(move || {
        let (diagnosis, names) = (diagnosis.clone(), names.clone());
        let state = snapshots.borrow().tracer.as_ref().map(|tracer| tracer.scans.cpu);
        let governor = state.map_or_else(Known::default, Known::Known);
        Box::pin(async move {
            let diagnosis = Diagnosis { name_sources: examine(&names).await, governor, ..diagnosis };
            serde_json::to_value(diagnosis).unwrap_or_default()
        })
    })
}
