//! The daemon's listeners: the unix socket, and a TCP port if configured.
//!
//! Listeners -> connections, each admitted or refused, and served by its own task. Their number is bounded; further
//! ones wait in the kernel's queue.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use axum::Router;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UnixListener, UnixStream},
    sync::watch,
    task::JoinSet,
};

use super::{
    connection::{self, Io},
    guests::Guests,
    peer::{self, Admission},
};
use crate::health::Beat;

/// The most concurrent connections of one listener.
const MOST: usize = 256;
/// The longest time for the head of a request at the socket, including the wait for it: a viewer keeps its connection
/// between two requests.
const SOCKET_HEAD: Duration = Duration::from_secs(75);
/// The same at the port, which anybody can reach.
const PORT_HEAD: Duration = Duration::from_secs(10);
/// Delay after an accept error, such as no free descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// How long to wait for the request of a refused client.
const ASKED: Duration = Duration::from_secs(1);
/// The least time between two logged refusals; all are counted.
const SAID_EVERY: Duration = Duration::from_secs(1);
/// How long connections may take for their last response when the daemon ends.
const LAST: Duration = Duration::from_secs(2);

const REFUSAL: &[u8] =
    b"HTTP/1.1 403 Forbidden\r\ncontent-length: 43\r\nconnection: close\r\n\r\nthis user may not ask the memtrace daemon\r\n";

/// The path of the socket, removed on drop.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A failure at the end does not matter.
        let _ = fs::remove_file(&self.0);
    }
}

/// A bound socket.
pub struct Socket {
    listener: std::os::unix::net::UnixListener,
    admission: Admission,
    file: SocketFile,
    beat: Beat,
}

/// Binds the socket, for root and the group `memtrace` if it exists. Replaces the socket of a daemon that died. Needs
/// CAP_CHOWN if the process is not in that group.
///
/// # Errors
/// When its directory cannot be created, the path is not a socket, or another daemon listens there.
pub fn bind(path: &Path, beat: Beat) -> anyhow::Result<Socket> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).with_context(|| format!("failed to create {}", directory.display()))?;
    }
    // With the sticky bit no other user can replace the socket.
    let mode = path
        .parent()
        .and_then(|directory| fs::metadata(directory).ok())
        .map(|data| data.permissions().mode());
    if mode.is_some_and(|mode| mode & 0o1002 == 0o002) {
        bail!("everybody can write to the directory of {}: run `chmod o-w` on it", path.display());
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        bail!("another daemon answers at {}: stop it, or choose another --socket", path.display());
    }
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => {
            fs::remove_file(path).with_context(|| format!("failed to remove the old {}", path.display()))?;
        }
        Ok(_) => bail!("failed to listen at {}: the path exists and is not a socket", path.display()),
        Err(_) => {}
    }
    let failed = || format!("failed to listen at {}", path.display());
    let listener = std::os::unix::net::UnixListener::bind(path).with_context(failed)?;
    let file = SocketFile(path.to_owned());
    listener.set_nonblocking(true).with_context(failed)?;
    let group = peer::group();
    if let Some(group) = group
        && let Err(error) = chown(path, None, Some(group))
    {
        tracing::warn!(%error, group, "failed to give the socket to the group memtrace; only root can connect");
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))
        .with_context(|| format!("failed to set the permissions of {}", path.display()))?;
    let given = fs::metadata(path).with_context(failed)?.gid();
    let admission =
        Admission { own: rustix::process::geteuid().as_raw(), group: group.filter(|group| *group == given) };
    Ok(Socket { listener, admission, file, beat })
}

/// Binds the port.
///
/// # Errors
/// When it is in use or not permitted.
pub fn bind_port(address: SocketAddr) -> anyhow::Result<std::net::TcpListener> {
    let failed = || format!("failed to listen at {address}");
    let listener = std::net::TcpListener::bind(address).with_context(failed)?;
    listener.set_nonblocking(true).with_context(failed)?;
    Ok(listener)
}

enum Door {
    Unix(UnixListener, Admission),
    Tcp(TcpListener),
}

/// Serves until `stop` resolves; then clients that read get their responses, and others are not waited for.
///
/// # Errors
/// When the listeners cannot be used.
pub async fn serve(
    (socket, routes): (Socket, Router),
    port: Option<(std::net::TcpListener, Beat, Router)>,
    refused: Arc<AtomicU64>,
    ending: watch::Sender<bool>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let Socket { listener, admission, file: _file, beat } = socket;
    let listener = UnixListener::from_std(listener).context("failed to use the socket")?;
    let mut doors = JoinSet::new();
    let door = Door::Unix(listener, admission);
    doors.spawn(keep((door, beat), routes, Arc::clone(&refused), ending.subscribe()));
    if let Some((listener, beat, routes)) = port {
        let listener = TcpListener::from_std(listener).context("failed to use the port")?;
        doors.spawn(keep((Door::Tcp(listener), beat), routes, refused, ending.subscribe()));
    }
    stop.await;
    ending.send_replace(true);
    let all = async { while doors.join_next().await.is_some() {} };
    if tokio::time::timeout(LAST, all).await.is_err() {
        tracing::debug!("some clients did not read their last answer");
    }
    Ok(())
}

/// Accepts connections. The beat is held until its end, and waits: each connection has a task of its own.
async fn keep(
    (door, _beat): (Door, Beat),
    routes: Router,
    refused: Arc<AtomicU64>,
    mut end: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let ends = end.clone();
    let mut said = Said::default();
    let mut guests = Guests::new(MOST);
    // Clients of the socket are trusted and wait for a place; at the port the oldest connection is closed.
    let (is_port, head) = match door {
        Door::Tcp(_) => (true, PORT_HEAD),
        Door::Unix(..) => (false, SOCKET_HEAD),
    };
    loop {
        tokio::select! {
            () = connection::ended(&mut end) => break,
            Some(_) = connections.join_next() => {}
            accepted = accept(&door, &refused, &mut said), if is_port || connections.len() < MOST => match accepted {
                Ok(Accepted::In(io)) => {
                    connections.spawn(connection::serve(io, routes.clone(), ends.clone(), head));
                }
                Ok(Accepted::Guest(io, from)) if guests.admit(from) => {
                    let task = connection::serve(io, routes.clone(), ends.clone(), head);
                    guests.add(from, connections.spawn(task));
                }
                Ok(Accepted::Guest(_, from)) => {
                    said.warn(|| tracing::warn!(%from, "rejected client: too many connections from this address"));
                    refused.fetch_add(1, Ordering::Relaxed);
                }
                Ok(Accepted::Refused(stream)) => {
                    connections.spawn(refuse(stream));
                }
                Err(error) => {
                    said.warn(|| tracing::warn!(%error, "failed to accept a connection"));
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
    drop(door);
    while connections.join_next().await.is_some() {}
}

/// A connection, and whether its peer is admitted.
enum Accepted {
    In(Box<dyn Io>),
    /// A connection at the port, with the address of its peer.
    Guest(Box<dyn Io>, IpAddr),
    Refused(UnixStream),
}

/// The next connection.
async fn accept(door: &Door, refused: &AtomicU64, said: &mut Said) -> io::Result<Accepted> {
    match door {
        Door::Tcp(listener) => {
            let (stream, from) = listener.accept().await?;
            Ok(Accepted::Guest(Box::new(stream), from.ip()))
        }
        Door::Unix(listener, admission) => {
            let (stream, _) = listener.accept().await?;
            match peer::of(&stream) {
                Ok(peer) if admission.admits(&peer) => return Ok(Accepted::In(Box::new(stream))),
                Ok(peer) => {
                    let (uid, pid) = (peer.uid, peer.pid);
                    said.warn(|| tracing::warn!(uid, pid, "rejected client: user not permitted"));
                }
                Err(error) => {
                    said.warn(|| tracing::warn!(%error, "rejected client: no peer credentials"));
                }
            }
            refused.fetch_add(1, Ordering::Relaxed);
            Ok(Accepted::Refused(stream))
        }
    }
}

/// Sends the refusal after the request has arrived: clients do not accept a response before their request.
async fn refuse(mut stream: UnixStream) {
    let answer = async {
        let mut asked = [0; 1024];
        // The contents of the request do not matter.
        let _ = stream.read(&mut asked).await?;
        stream.write_all(REFUSAL).await
    };
    // The client may be gone, or never send a request.
    let _ = tokio::time::timeout(ASKED, answer).await;
}

/// When a refusal was last logged.
#[derive(Default)]
struct Said(Option<Instant>);

impl Said {
    fn warn(&mut self, warn: impl FnOnce()) {
        if self.0.is_none_or(|said| said.elapsed() >= SAID_EVERY) {
            self.0 = Some(Instant::now());
            warn();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::REFUSAL;

    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        let text = std::str::from_utf8(REFUSAL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
    }
}
