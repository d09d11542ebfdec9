//! The serving side: the paths of [`v1`](super::v1).
//!
//! Input: watches on what is published, and the store. Must not block the engine, nor hold more than one snapshot a request.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use axum::{
    Json, Router,
    extract::{Path as UrlPath, State},
    http::StatusCode,
    routing::get,
};
use jiff::Timestamp;
use tokio::{net::UnixListener, sync::watch};

use super::{
    stream,
    v1::{Kills, Update, path},
};
use crate::{
    oom::record::OomRecord,
    probe::status::ProbeStatus,
    snapshot::{ProcessRow, Snapshot},
    store::{Filter, Store, StoreError},
    symbols::{Place, Symbols},
    verdict::Insights,
};

/// What history knows of a time.
pub type Past = Arc<dyn Fn(Timestamp) -> Option<Update> + Send + Sync>;

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
    pub past: Past,
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
    // With the sticky bit nobody can put another socket in its place.
    let mode = path
        .parent()
        .and_then(|directory| fs::metadata(directory).ok())
        .map(|data| data.permissions().mode());
    if mode.is_some_and(|mode| mode & 0o1002 == 0o002) {
        bail!("everybody can write to the directory of {}: `chmod o-w` it", path.display());
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
    // Streams have no end of their own, and the server waits for them.
    let (ending, streams_end) = watch::channel(());
    let (snapshots, insights) = (source.snapshots.clone(), source.insights.clone());
    let routes = Router::new()
        .route(path::SNAPSHOT, get(snapshot))
        .route(path::PROBES, get(probes))
        .route(path::INSIGHTS, get(latest_insights))
        .route(path::STREAM, get(async move || stream::body(snapshots, insights, streams_end)))
        .route(&format!("{}{{pid}}", path::PROCESSES), get(process))
        .route(&format!("{}{{at}}", path::HISTORY), get(history))
        .route(path::KILLS, get(kills))
        .route(&format!("{}{{id}}", path::KILL), get(kill))
        .with_state(source);
    let Socket { listener, file: _file } = socket;
    let stop = async move {
        stop.await;
        drop(ending);
    };
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
        name(process, symbols);
    }
    snapshot
}

/// Gives the frames of a process's call stacks their names.
fn name(process: &mut ProcessRow, symbols: &Symbols) {
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
        return;
    }
    for (index, name) in known.into_iter().zip(symbols.names(places)) {
        if let Some(frame) = frames.get_mut(index) {
            frame.symbol = name;
        }
    }
}

async fn process(
    State(source): State<Source>,
    UrlPath(pid): UrlPath<u32>,
) -> Result<Json<ProcessRow>, StatusCode> {
    let latest = Arc::clone(&source.snapshots.borrow());
    let row = latest.processes.iter().find(|row| row.pid == pid).ok_or(StatusCode::NOT_FOUND)?;
    let mut row = row.clone();
    let named = tokio::task::spawn_blocking(move || {
        name(&mut row, &source.symbols);
        row
    });
    named.await.map(Json).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn latest_insights(State(source): State<Source>) -> Json<Arc<Insights>> {
    Json(Arc::clone(&source.insights.borrow()))
}

async fn history(
    State(source): State<Source>,
    UrlPath(at): UrlPath<String>,
) -> Result<Json<Update>, StatusCode> {
    let at = at.parse().map_err(|_| StatusCode::BAD_REQUEST)?;
    // Looks at every series there is.
    let found = tokio::task::spawn_blocking(move || (source.past)(at)).await;
    found.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?.map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn kills(State(source): State<Source>) -> Result<Json<Kills>, StatusCode> {
    let newest = Filter { limit: Some(Kills::MOST), ..Filter::default() };
    let kills = stored(&source, move |store| store.list(&newest)).await?.unwrap_or_default();
    Ok(Json(Kills { schema: Kills::SCHEMA, kills }))
}

async fn kill(
    State(source): State<Source>,
    UrlPath(id): UrlPath<String>,
) -> Result<Json<OomRecord>, StatusCode> {
    let record = stored(&source, move |store| store.kill(&id)).await?.flatten();
    record.map(Json).ok_or(StatusCode::NOT_FOUND)
}

/// Reads the store, which waits for disks; `None` where there is none yet.
async fn stored<T: Send + 'static>(
    source: &Source,
    read: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<Option<T>, StatusCode> {
    let directory = Arc::clone(&source.state_dir);
    let answer = tokio::task::spawn_blocking(move || match Store::open_read_only(&directory) {
        Ok(store) => read(&store).map(Some),
        Err(StoreError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    });
    match answer.await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(StoreError::Ambiguous { .. })) => Err(StatusCode::CONFLICT),
        Ok(Err(error)) => {
            tracing::warn!(%error, "a request for kills was not answered");
            Err(StatusCode::INTERNAL_SERVER_ERROR)
        }
        Err(_) => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

async fn probes(State(source): State<Source>) -> Json<Arc<ProbeStatus>> {
    Json(source.probes)
}
