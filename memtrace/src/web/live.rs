//! The stream of the node's page: server-sent events.
//!
//! Published snapshots -> the part of the page that changes, every two seconds, the same bytes for all viewers. Holds one
//! event for a slow viewer, and skips further ones for it.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::Body,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use hyper::body::{Bytes, Frame};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::answers::changing;
use crate::{api::state::ApiState, clock};

/// The most streams.
const MOST: usize = 64;
/// The time between two events in seconds.
const EVERY: i64 = 2;
/// After a lost connection the browser waits this long.
const RETRY: &[u8] = b"retry: 3000\n\n";
const BUSY: &str = "too many viewers; the page itself still answers\n";

/// The places of viewers.
pub(super) struct Viewers(Arc<Semaphore>);

impl Default for Viewers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }
}

/// A body of events from a channel.
struct Events {
    events: mpsc::Receiver<Bytes>,
    _place: OwnedSemaphorePermit,
}

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.events.poll_recv(context).map(|event| Some(Ok(Frame::data(event?))))
    }
}

/// The stream; it ends with the snapshots, the viewer, or the sender of `end`.
pub(super) fn stream(
    State(state): State<ApiState>,
    viewers: Arc<Viewers>,
    mut end: watch::Receiver<bool>,
) -> Response {
    let Ok(place) = Arc::clone(&viewers.0).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, BUSY).into_response();
    };
    let (sender, events) = mpsc::channel(1);
    tokio::spawn(async move {
        tokio::select! {
            () = follow(&state, &sender) => {}
            _ = end.wait_for(|end| *end) => {}
            () = sender.closed() => {}
        }
    });
    let body = Body::new(Events { events, _place: place });
    ([(CONTENT_TYPE, "text/event-stream")], body).into_response()
}

/// Sends events for as long as there is a reader.
async fn follow(state: &ApiState, sender: &mpsc::Sender<Bytes>) {
    if sender.send(Bytes::from_static(RETRY)).await.is_err() {
        return;
    }
    let mut snapshots = state.source.snapshots.clone();
    let mut sent = None;
    loop {
        // The same instants for all viewers, so that they share what is made.
        let instant = snapshots.borrow_and_update().time.as_second() / EVERY;
        if sent != Some(instant) {
            sent = Some(instant);
            state.source.interest.look(clock::ktime());
            let Ok(event) = changing(state.clone()).await else { return };
            if sender.send(event).await.is_err() {
                return;
            }
        }
        if snapshots.changed().await.is_err() {
            return;
        }
    }
}
