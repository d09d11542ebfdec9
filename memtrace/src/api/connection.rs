//! One HTTP/1.1 connection, with limits on all memory and time that a client can use.
//!
//! A stream and the routes -> responses, until the client closes, is idle or does not read for too long, or the daemon
//! ends.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{Router, extract::Request};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
    time::{Sleep, sleep},
};
use tower::ServiceExt as _;

/// How long a client may leave a response unread.
const UNREAD: Duration = Duration::from_secs(30);
/// The largest head of a request, or its trailers, in bytes.
const MAX_HEAD: usize = 8 << 10;
/// The most header fields of a request.
const MAX_FIELDS: usize = 64;
/// The largest buffers of a connection in bytes, without the body of a response.
const MAX_BUFFER: usize = 16 << 10;

/// A stream of either kind.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Serves requests until the connection ends; `head` is the longest time for the head of a request, including the wait
/// for it.
pub async fn serve(io: Box<dyn Io>, routes: Router, end: watch::Receiver<bool>, head: Duration) {
    serve_for(io, routes, end, (head, UNREAD)).await;
}

/// Like [`serve`], with the time that a client may leave a response unread.
async fn serve_for(
    io: Box<dyn Io>,
    routes: Router,
    mut end: watch::Receiver<bool>,
    (head, unread): (Duration, Duration),
) {
    let service = routes
        .map_request(|request: hyper::Request<Incoming>| -> Request { request.map(axum::body::Body::new) });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_headers(MAX_FIELDS)
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_BUFFER);
    let patient = Patient { io, unread, waits: None };
    let mut connection =
        std::pin::pin!(builder.serve_connection(TokioIo::new(patient), TowerToHyperService::new(service)));
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = ended(&mut end) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection failed");
    }
}

/// Waits for the daemon to end.
pub(super) async fn ended(end: &mut watch::Receiver<bool>) {
    // A dropped sender also means the end.
    drop(end.wait_for(|end| *end).await);
}

/// A stream whose writes fail when they make no progress for too long.
struct Patient {
    io: Box<dyn Io>,
    unread: Duration,
    waits: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn wait<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waits = None;
            return written;
        }
        let unread = self.unread;
        let waits = self.waits.get_or_insert_with(|| Box::pin(sleep(unread)));
        ready!(waits.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.wait(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(context, parts);
        self.wait(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
