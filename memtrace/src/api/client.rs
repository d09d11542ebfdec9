//! The asking side: one request, one answer, bounded in time and size.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, bail};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode, body::Bytes};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes that an answer may have; 10,000 processes take some 5 MiB.
const MAX_BODY: usize = 256 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("no daemon answers at {0}")]
    NoDaemon(String),
    /// The socket is not for this user.
    #[error("not permitted to ask the daemon at {0}")]
    NotPermitted(String),
    /// It answered badly.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

/// Asks the daemon at `socket` for `path`. Blocks.
///
/// # Errors
/// See [`ClientError`].
pub fn get<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<T, ClientError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the client's runtime")?;
    runtime.block_on(async {
        match tokio::time::timeout(TIMEOUT, ask(socket, path)).await {
            Ok(answer) => answer,
            Err(_) => Err(anyhow::anyhow!(
                "the daemon at {} gave no answer in {} s",
                socket.display(),
                TIMEOUT.as_secs()
            )
            .into()),
        }
    })
}

async fn ask<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<T, ClientError> {
    let stream = UnixStream::connect(socket).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
            ClientError::NoDaemon(socket.display().to_string())
        }
        std::io::ErrorKind::PermissionDenied => ClientError::NotPermitted(socket.display().to_string()),
        _ => ClientError::Failed(
            anyhow::Error::new(error).context(format!("failed to connect to {}", socket.display())),
        ),
    })?;
    Ok(exchange(stream, path).await.with_context(|| format!("failed to ask the daemon for {path}"))?)
}

async fn exchange<T: DeserializeOwned>(stream: UnixStream, path: &str) -> anyhow::Result<T> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await?;
    // Its error shows in the answer as well.
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "memtrace").body(Empty::new())?;
    let answer = sender.send_request(request).await?;
    if answer.status() != StatusCode::OK {
        bail!("the daemon answered {}", answer.status());
    }
    let body = Limited::new(answer.into_body(), MAX_BODY)
        .collect()
        .await
        .map_err(|error| anyhow::anyhow!("failed to read the answer: {error}"))?;
    Ok(serde_json::from_slice(&body.to_bytes())?)
}
