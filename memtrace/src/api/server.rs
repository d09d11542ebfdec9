//! The serving side: `GET /v1/snapshot`, `GET /v1/probes`.
//!
//! Input: a watch on the latest snapshot. Must not block the engine, nor hold more than one snapshot a request.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use axum::{Json, Router, extract::State, routing::get};
use tokio::{net::UnixListener, sync::watch};

use crate::{
    probe::status::ProbeStatus,
    snapshot::Snapshot,
    symbols::{Place, Symbols},
    verdict::Insights,
};

/// Paths of the API.
pub mod path {
    /// The latest [`crate::snapshot::Snapshot`].
    pub const SNAPSHOT: &str = "/v1/snapshot";
    /// The [`crate::probe::status::ProbeStatus`].
    pub const PROBES: &str = "/v1/probes";
}

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
}

/// The socket's place in the file system, removed with its owner.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Nothing to be done about a failure at the end.
        let _ = fs::remove_file(&self.0);
    }
}

/// A bound socket.
pub struct Socket {
    listener: UnixListener,
    file: SocketFile,
}

/// Binds the socket, readable for root and its group only. One left behind by a daemon that died is replaced.
///
/// # Errors
/// When its directory cannot be made, something else is at the path, or another daemon answers there.
pub fn bind(path: &Path) -> anyhow::Result<Socket> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).with_context(|| format!("failed to create {}", directory.display()))?;
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        bail!("another daemon answers at {}", path.display());
    }
    match fs::symlink_metadata(path) {
        Ok(metadata) if is_socket(&metadata) => {
            fs::remove_file(path).with_context(|| format!("failed to remove the old {}", path.display()))?;
        }
        Ok(_) => bail!("{} is in the way: it is not a socket", path.display()),
        Err(_) => {}
    }
    let listener =
        UnixListener::bind(path).with_context(|| format!("failed to listen at {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))
        .with_context(|| format!("failed to set the permissions of {}", path.display()))?;
    Ok(Socket { listener, file: SocketFile(path.to_owned()) })
}

fn is_socket(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    metadata.file_type().is_socket()
}

/// Serves until `stop` resolves.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    socket: Socket,
    source: Source,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let routes = Router::new()
        .route(path::SNAPSHOT, get(snapshot))
        .route(path::PROBES, get(probes))
        .with_state(source);
    let Socket { listener, file: _file } = socket;
    axum::serve(listener, routes).with_graceful_shutdown(stop).await.context("failed to serve the API")
}

async fn snapshot(State(source): State<Source>) -> Json<Arc<Snapshot>> {
    let latest = Arc::clone(&source.snapshots.borrow());
    let unnamed = Arc::clone(&latest);
    // Reads files, so not here. Without names the snapshot is as good as it was.
    let named = tokio::task::spawn_blocking(move || Arc::new(named(&latest, &source.symbols)));
    Json(named.await.unwrap_or(unnamed))
}

/// The snapshot with the names of its call stacks.
fn named(snapshot: &Snapshot, symbols: &Symbols) -> Snapshot {
    let mut snapshot = snapshot.clone();
    for process in &mut snapshot.processes {
        let stacks = process.memory.iter_mut().flat_map(|memory| &mut memory.growth_stacks);
        let mut frames: Vec<_> = stacks.flat_map(|stack| &mut stack.frames).collect();
        let (known, places): (Vec<usize>, Vec<Place>) = frames
            .iter()
            .enumerate()
            .filter_map(|(index, frame)| {
                let (path, offset) = (frame.module.as_ref()?, frame.file_offset?);
                Some((index, Place { pid: process.pid, path: path.into(), offset }))
            })
            .unzip();
        if places.is_empty() {
            continue;
        }
        for (index, name) in known.into_iter().zip(symbols.names(places)) {
            if let Some(frame) = frames.get_mut(index) {
                frame.symbol = name;
            }
        }
    }
    snapshot
}

async fn probes(State(source): State<Source>) -> Json<Arc<ProbeStatus>> {
    Json(source.probes)
}
