//! The body of the stream: one [`Update`] per line, until the client stops reading.
//!
//! Input: watches on published values. Output: an HTTP body. Holds two lines for a slow reader, and skips further
//! updates for it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::Body,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use hyper::body::{Bytes, Frame};
use tokio::sync::{mpsc, watch};

use super::{connection::ended, interest::Interest, v1::Update};
use crate::{clock, snapshot::Snapshot, verdict::Insights};

/// A body of lines from a channel.
struct Lines(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|line| Some(Ok(Frame::data(line?))))
    }
}

/// The stream; it ends with the snapshots, the reader, or the sender of `end`.
pub fn body(
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    insights: watch::Receiver<Arc<Insights>>,
    interest: Interest,
    mut end: watch::Receiver<bool>,
) -> Response {
    let (sender, lines) = mpsc::channel(1);
    tokio::spawn(async move {
        let stream = async {
            loop {
                interest.look(clock::ktime());
                let update = Update {
                    snapshot: Arc::clone(&snapshots.borrow_and_update()),
                    insights: Arc::clone(&insights.borrow()),
                };
                // Plain data always has a JSON form.
                let Ok(mut line) = serde_json::to_vec(&update) else { return };
                drop(update);
                line.push(b'\n');
                if sender.send(line.into()).await.is_err() || snapshots.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = stream => {}
            () = ended(&mut end) => {}
            () = sender.closed() => {}
        }
    });
    ([(CONTENT_TYPE, "application/x-ndjson")], Body::new(Lines(lines))).into_response()
}
