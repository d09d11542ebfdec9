//! The source of the API's answers.
//!
//! The published snapshots, the probes, the store -> a [`Source`].

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
};

use tokio::sync::watch;

use crate::{
    api::{
        doctor::Diagnosis,
        listen::{self, Socket},
        server::{self, Port},
        state::Source,
    },
    daemon::{Config, PROC},
    history::shared::Shared,
    metrics::{Exporter, Inputs, self_usage},
    reader::{Reader as _, Remote, pool::Readers},
    snapshot::Snapshot,
    store::Store,
    symbols::Symbols,
    verdict::Insights,
};

/// The daemon's listening sockets.
pub struct Listeners {
    /// The socket.
    pub socket: Socket,
    /// The TCP port, if configured.
    pub port: Option<Port>,
}

/// Binds them. Needs CAP_CHOWN, and CAP_NET_BIND_SERVICE for low ports.
///
/// # Errors
/// When one of them cannot be bound, or the token is invalid.
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

/// What the daemon publishes, and the engine's heartbeat.
pub struct Published {
    /// Snapshots.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Insights.
    pub insights: watch::Receiver<Arc<Insights>>,
    /// When the engine last read events, ns since boot.
    pub heartbeat: Arc<AtomicU64>,
}

/// Builds the source.
///
/// # Errors
/// When a thread cannot be started.
pub fn source(
    config: &Config,
    published: Published,
    diagnosis: Diagnosis,
    history: Shared,
    readers: Readers,
) -> anyhow::Result<Source> {
    let Published { snapshots, insights, heartbeat } = published;
    let probes = Arc::new(diagnosis.probes.clone());
    let refused = Arc::new(AtomicU64::new(0));
    let facts = {
        let (snapshots, insights) = (snapshots.clone(), insights.clone());
        let (probes, refused) = (Arc::clone(&probes), Arc::clone(&refused));
        let (state_dir, readers): (PathBuf, Readers) = (config.state_dir.clone(), readers.clone());
        move || {
            let store = Store::open_read_only(&state_dir).ok();
            Inputs {
                snapshot: Arc::clone(&snapshots.borrow()),
                insights: Arc::clone(&insights.borrow()),
                probes: Arc::clone(&probes),
                tallies: store.as_ref().and_then(|store| store.tallies().ok()),
                members: store.as_ref().and_then(|store| store.member_tallies().ok()),
                own: self_usage::own(Path::new(PROC), &state_dir, store.as_ref(), &refused, &readers),
            }
        }
    };
    let exporter = Exporter::new(config.metrics_containers, facts)?;
    let mut reader = Remote::new(readers.clone());
    Ok(Source {
        diagnosis: Arc::new(diagnosis),
        names: Arc::new(config.names.clone()),
        snapshots,
        insights,
        probes,
        symbols: Symbols::start(move |places| reader.names(places))?,
        state_dir: config.state_dir.as_path().into(),
        history,
        proc: Path::new(PROC).into(),
        readers,
        metrics: Arc::new(exporter),
        heartbeat,
        refused,
    })
}
