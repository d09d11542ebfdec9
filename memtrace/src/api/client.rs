//! The client: one request, one response or a stream of lines; bounded in time and size.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, bail};
use http_body_util::BodyExt as _;
use hyper::{
    Response, StatusCode,
    body::{Bytes, Incoming},
};
use serde::de::DeserializeOwned;

use super::v1::STACKS;
use crate::http::{self, Connection};

/// The longest time for a response.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The largest response in bytes; 10,000 processes take about 5 MiB.
const MAX_BODY: usize = 256 << 20;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No daemon listens on the socket.
    #[error("no daemon answers at {0}")]
    NoDaemon(String),
    /// This user may not use the socket.
    #[error("not permitted to ask the daemon at {0}: run as root, or join the group memtrace")]
    NotPermitted(String),
    /// The request or the response was invalid.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

/// Sends a GET of `path` to the daemon at `socket` and parses the JSON. Blocks.
///
/// # Errors
/// See [`ClientError`].
pub fn get<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<T, ClientError> {
    blocking(ask(socket, path))
}

/// Sends a GET and returns the text. Blocks.
///
/// # Errors
/// See [`ClientError`].
pub fn text(socket: &Path, path: &str) -> Result<String, ClientError> {
    let bytes = blocking(in_time(socket, body(socket, path)))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Sends a GET and returns the bytes of a profile, and the number of its call stacks. Blocks.
///
/// # Errors
/// See [`ClientError`].
pub fn file(socket: &Path, path: &str) -> Result<(Bytes, Option<usize>), ClientError> {
    let answer = async {
        let answer = open(socket, path).await?;
        let stacks = answer.headers().get(STACKS).and_then(|value| value.to_str().ok()?.parse().ok());
        Ok((http::body(answer, MAX_BODY).await.context("failed to read the answer")?, stacks))
    };
    blocking(in_time(socket, answer))
}

/// Asks the daemon at `socket` for `path`.
///
/// # Errors
/// See [`ClientError`].
pub async fn ask<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<T, ClientError> {
    let answer = async {
        serde_json::from_slice(&body(socket, path).await?)
            .with_context(|| format!("failed to parse the daemon's answer to {path}"))
            .map_err(ClientError::Failed)
    };
    in_time(socket, answer).await
}

/// Requests a stream of lines.
///
/// # Errors
/// See [`ClientError`].
pub async fn lines(socket: &Path, path: &str) -> Result<Lines, ClientError> {
    let answer = in_time(socket, open(socket, path)).await?;
    Ok(Lines { body: answer.into_body(), read: Vec::new(), searched: 0 })
}

/// A stream of lines, as long as the daemon runs.
#[derive(Debug)]
pub struct Lines {
    body: Incoming,
    read: Vec<u8>,
    /// The number of bytes of `read` already searched, without an end of line.
    searched: usize,
}

impl Lines {
    /// Waits for the next line; `None` at the end. Cancel safe: no data is lost when the future is dropped.
    ///
    /// # Errors
    /// When the connection fails, or a line is too long.
    pub async fn next(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        loop {
            let found = self.read.iter().skip(self.searched).position(|byte| *byte == b'\n');
            if let Some(at) = found {
                let rest = self.read.split_off(self.searched + at + 1);
                let mut line = std::mem::replace(&mut self.read, rest);
                line.pop();
                self.searched = 0;
                return Ok(Some(line));
            }
            self.searched = self.read.len();
            if self.searched > MAX_BODY {
                bail!("failed to read the stream: a line has more than {MAX_BODY} bytes");
            }
            match self.body.frame().await {
                Some(frame) => {
                    if let Ok(data) = frame.context("failed to read the stream")?.into_data() {
                        self.read.extend_from_slice(&data);
                    }
                }
                None => return Ok(None),
            }
        }
    }
}

fn blocking<T>(answer: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the client's runtime")?;
    runtime.block_on(answer)
}

async fn body(socket: &Path, path: &str) -> Result<Bytes, ClientError> {
    let answer = open(socket, path).await?;
    Ok(http::body(answer, MAX_BODY).await.context("failed to read the answer")?)
}

async fn in_time<T>(
    socket: &Path,
    answer: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    tokio::time::timeout(TIMEOUT, answer).await.unwrap_or_else(|_| {
        let seconds = TIMEOUT.as_secs();
        Err(anyhow::anyhow!("the daemon at {} did not answer within {seconds} s", socket.display()).into())
    })
}

async fn open(socket: &Path, path: &str) -> Result<Response<Incoming>, ClientError> {
    let connection = Connection::unix(socket).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
            ClientError::NoDaemon(socket.display().to_string())
        }
        std::io::ErrorKind::PermissionDenied => ClientError::NotPermitted(socket.display().to_string()),
        _ => ClientError::Failed(
            anyhow::Error::new(error).context(format!("failed to connect to {}", socket.display())),
        ),
    })?;
    let answer = connection.get("memtrace", path, None).await;
    let answer = answer.with_context(|| format!("failed to ask the daemon for {path}"))?;
    match answer.status() {
        StatusCode::OK => Ok(answer),
        StatusCode::FORBIDDEN => Err(ClientError::NotPermitted(socket.display().to_string())),
        status => {
            // The body explains the error and is short.
            let said = http::body(answer, 1024).await.unwrap_or_default();
            let said = String::from_utf8_lossy(said.trim_ascii()).into_owned();
            let said = if said.is_empty() { said } else { format!(": {said}") };
            Err(anyhow::anyhow!("failed to ask the daemon for {path}: it answered {status}{said}").into())
        }
    }
}
