//! The server: which paths are served on which listener, and to whom.
//!
//! Input: watches on published values, the store, and facts of the daemon. The unix socket serves all paths; the port
//! serves `/metrics`, `/healthz` and `/readyz`, and with a token the rest. The pages for browsers are made elsewhere.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{Router, extract::State, middleware, routing::get};
use tokio::sync::watch;

use super::{
    answers, interest,
    listen::{self, Socket},
    origin, profile,
    state::{ApiState, Source},
    stream, token,
    v1::path,
};
use crate::health::Beat;

/// A TCP port.
pub struct Port {
    /// The bound listener.
    pub listener: std::net::TcpListener,
    /// The file with the bearer token for the rest of the API; `None` does not serve it.
    pub token: Option<PathBuf>,
    /// Of the task that accepts connections.
    pub beat: Beat,
}

/// Serves until `stop` resolves. `pages` are the routes for browsers.
///
/// # Errors
/// When the listeners fail permanently.
pub async fn serve(
    (socket, port): (Socket, Option<Port>),
    source: Source,
    pages: impl Fn(watch::Receiver<bool>) -> Router<ApiState>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let (ending, end) = watch::channel(false);
    let refused = Arc::clone(&source.refused);
    let mut published = source.snapshots.clone();
    let state = ApiState { source, pages: Arc::default() };
    let made = Arc::clone(&state.pages);
    let forgetting = tokio::spawn(async move {
        while published.changed().await.is_ok() {
            let newest = Arc::clone(&published.borrow_and_update());
            made.forget(&newest).await;
        }
    });
    let open = || open_to_all().with_state(state.clone());
    let looking = middleware::from_fn_with_state(state.source.interest.clone(), interest::look);
    let all = || v1().merge(memory(end.clone()).layer(looking.clone())).with_state(state.clone());
    let pages = || pages(end.clone()).layer(looking.clone()).with_state(state.clone());
    let port = port.map(|Port { listener, token, beat }| {
        let closed = |token: PathBuf| {
            let file = Arc::<Path>::from(token);
            let api = all().layer(middleware::from_fn_with_state(Arc::clone(&file), token::of_program));
            api.merge(pages().layer(middleware::from_fn_with_state(file, token::of_person)))
        };
        let routes = token.map_or_else(open, |token| open().merge(closed(token)));
        (listener, beat, routes)
    });
    // Browsers reach it through a tunnel.
    let routes = open().merge(all()).merge(pages()).layer(middleware::from_fn(origin::check));
    let served = listen::serve((socket, routes), port, refused, ending, stop).await;
    forgetting.abort();
    served
}

fn open_to_all() -> Router<ApiState> {
    Router::new()
        .route(path::METRICS, get(answers::metrics))
        .route(path::HEALTHY, get(answers::healthy))
        .route(path::READY, get(answers::ready))
}

/// What shows the memory of the node as it is: a request is a look at it.
fn memory(end: watch::Receiver<bool>) -> Router<ApiState> {
    let stream = async move |State(state): State<ApiState>| {
        let Source { snapshots, insights, interest, .. } = state.source;
        stream::body(snapshots, insights, interest, end)
    };
    Router::new()
        .route(path::SNAPSHOT, get(answers::snapshot))
        .route(path::CONTAINERS, get(answers::containers))
        .route(path::PROCESS_LIST, get(answers::processes))
        .route(path::ARENAS, get(answers::arenas))
        .route(path::STREAM, get(stream))
        .route(&format!("{}{{pid}}", path::PROCESSES), get(answers::process))
        .route(&format!("{}{{target}}", path::EXPLAIN), get(answers::explain))
        .route(path::PROFILE, get(profile::memory))
}

fn v1() -> Router<ApiState> {
    Router::new()
        .route(path::PROBES, get(answers::probes))
        .route(path::INSIGHTS, get(answers::insights))
        .route(&format!("{}{{at}}", path::HISTORY), get(answers::history))
        .route(path::KILLS, get(answers::kills))
        .route(&format!("{}{{id}}", path::KILL), get(answers::kill))
        .route(path::DOCTOR, get(answers::doctor))
        .route(path::HEALTH, get(answers::health))
}
