//! One HTTP request to a runtime or a kubelet, and its answer.
//!
//! Input: a connection, a request, how large the answer may be. Output: the body of a 200. Bounds no time: who asks does.

use anyhow::ensure;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1::handshake};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// Asks.
///
/// # Errors
/// When the connection fails, the answer is no 200, or it is larger.
pub async fn ask<S>(stream: S, request: Request<Empty<Bytes>>, largest: usize) -> anyhow::Result<Bytes>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    // Its error shows in the answer as well.
    tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    ensure!(answer.status() == StatusCode::OK, "it answered {}", answer.status());
    let body = Limited::new(answer.into_body(), largest).collect().await;
    Ok(body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes())
}
