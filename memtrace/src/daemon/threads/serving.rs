//! The source of the API's answers, and the beat of the runtime that gives them.
//!
//! The published snapshots, the probes, the store -> a [`Source`].

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use tokio::sync::watch;

use super::{BLOCKING, JUDGE, PORT, SERVING, SOCKET, SYMBOLS, judge};
use crate::{
    api::{
        doctor::Diagnosis,
        interest::Interest,
        lane::Lane,
        listen::{self, Socket},
        server::Port,
        state::Source,
        token,
    },
    clock,
    daemon::{Config, PROC},
    export::otlp::Sent,
    health::{Beats, Judge, ROUND},
    history::shared::Shared,
    metrics::{Exporter, Inputs, Own, self_usage},
    reader::{Reader as _, Remote, pool::Readers},
    snapshot::Snapshot,
    store::Store,
    symbols::Symbols,
    verdict::Insights,
};

/// Interval between two checks of the runtime's blocking threads. It keeps one of them alive: tokio panics if it has none
/// and cannot start one.
const CHECK: Duration = Duration::from_secs(5);

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
pub fn listeners(config: &Config, beats: &Beats) -> anyhow::Result<Listeners> {
    let socket = listen::bind(&config.socket, beats.watch(SOCKET))?;
    if let Some(file) = &config.token_file {
        token::read(file)?;
    }
    let port = config.listen.map(|address| {
        let listener = listen::bind_port(address)?;
        anyhow::Ok(Port { listener, token: config.token_file.clone(), beat: beats.watch(PORT) })
    });
    Ok(Listeners { socket, port: port.transpose()? })
}

/// What the daemon publishes, and the beats of its threads.
pub struct Published {
    /// Snapshots.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Insights.
    pub insights: watch::Receiver<Arc<Insights>>,
    /// The beats.
    pub beats: Beats,
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
    sent: Option<Sent>,
) -> anyhow::Result<Source> {
    let Published { snapshots, insights, beats } = published;
    let probes = Arc::new(diagnosis.probes.clone());
    let (refused, lane) = (Arc::new(AtomicU64::new(0)), Arc::<Lane>::default());
    let facts = {
        let (snapshots, insights) = (snapshots.clone(), insights.clone());
        let (probes, refused, lane) = (Arc::clone(&probes), Arc::clone(&refused), Arc::clone(&lane));
        let (state_dir, readers): (PathBuf, Readers) = (config.state_dir.clone(), readers.clone());
        let beats = beats.clone();
        move || {
            let store = Store::open_read_only(&state_dir).ok();
            let own = self_usage::own(Path::new(PROC), &state_dir, store.as_ref(), &refused, &readers);
            Inputs {
                snapshot: Arc::clone(&snapshots.borrow()),
                insights: Arc::clone(&insights.borrow()),
                probes: Arc::clone(&probes),
                tallies: store.as_ref().and_then(|store| store.tallies().ok()),
                members: store.as_ref().and_then(|store| store.member_tallies().ok()),
                otlp: sent.as_ref().map(Sent::counts),
                own: Own { health: beats.health(), overloaded: lane.refused(), ..own },
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
        symbols: Symbols::start(move |places| reader.names(places), beats.watch(SYMBOLS))?,
        state_dir: config.state_dir.as_path().into(),
        history,
        proc: Path::new(PROC).into(),
        readers,
        metrics: Arc::new(exporter),
        beats,
        refused,
        lane,
        interest: Interest::default(),
    })
}

/// Beats for as long as the current runtime runs tasks and has a free blocking thread, and judges the judge.
pub fn beat(beats: &Beats) {
    let (serving, blocking) = (beats.watch(SERVING), beats.watch(BLOCKING));
    let beats = beats.clone();
    tokio::spawn(async move {
        let mut judge = Judge::default();
        loop {
            serving.beat();
            let changes = judge.round(&beats, clock::ktime(), |thread| *thread == JUDGE);
            changes.into_iter().for_each(judge::log);
            tokio::time::sleep(ROUND).await;
        }
    });
    tokio::spawn(async move {
        loop {
            blocking.beat();
            // It fails only when the runtime ends, which drops this task.
            let _ = tokio::task::spawn_blocking(|| ()).await;
            blocking.rest();
            tokio::time::sleep(CHECK).await;
        }
    });
}
