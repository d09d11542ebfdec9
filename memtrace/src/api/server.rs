//! The server: which paths are served on which listener, and to whom.
//!
//! Input: watches on published values, the store, and facts of the daemon. The unix socket serves all paths; the port
//! serves `/metrics`, `/healthz` and `/readyz`, and with a token the rest.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header::AUTHORIZATION},
    middleware::{self, Next},
    response::Response,
    routing::get,
};
use tokio::sync::watch;

use super::{
    answers, interest,
    listen::{self, Socket},
    profile,
    state::{ApiState, Source},
    stream,
    v1::path,
};
use crate::health::Beat;

/// Shorter tokens are rejected, because they can be guessed.
const SHORTEST_TOKEN: usize = 16;

/// A TCP port.
pub struct Port {
    /// The bound listener.
    pub listener: std::net::TcpListener,
    /// The file with the bearer token for the rest of the API; `None` does not serve it.
    pub token: Option<PathBuf>,
    /// Of the task that accepts connections.
    pub beat: Beat,
}

/// Serves until `stop` resolves.
///
/// # Errors
/// When the listeners fail permanently.
pub async fn serve(
    socket: Socket,
    port: Option<Port>,
    source: Source,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let (ending, end) = watch::channel(false);
    let refused = Arc::clone(&source.refused);
    let mut published = source.snapshots.clone();
    let state = ApiState { source, pages: Arc::default() };
    let pages = Arc::clone(&state.pages);
    let forgetting = tokio::spawn(async move {
        while published.changed().await.is_ok() {
            pages.forget().await;
        }
    });
    let open = || open_to_all().with_state(state.clone());
    let looking = middleware::from_fn_with_state(state.source.interest.clone(), interest::look);
    let all = || v1().merge(memory(end.clone()).layer(looking.clone())).with_state(state.clone());
    let port = port.map(|Port { listener, token, beat }| {
        let closed =
            |token| all().layer(middleware::from_fn_with_state(Arc::<Path>::from(token), with_token));
        let routes = token.map_or_else(open, |token| open().merge(closed(token)));
        (listener, beat, routes)
    });
    let served = listen::serve((socket, open().merge(all())), port, refused, ending, stop).await;
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

/// Admits requests with the token. The file is read for each request, so that it can be changed.
async fn with_token(
    State(file): State<Arc<Path>>,
    request: Request,
    next: Next,
) -> Result<Response, StatusCode> {
    let given =
        request.headers().get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    let given = given.ok_or(StatusCode::UNAUTHORIZED)?.to_vec();
    let expected = tokio::task::spawn_blocking(move || read_token(&file)).await;
    let expected = expected.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let expected = expected.map_err(|error| {
        tracing::warn!(%error, "rejected a request with a bearer token");
        StatusCode::UNAUTHORIZED
    })?;
    if is_same(given.trim_ascii(), &expected) {
        Ok(next.run(request).await)
    } else {
        Err(StatusCode::UNAUTHORIZED)
    }
}

/// Reads the token.
///
/// # Errors
/// When it cannot be read, or is not a valid token.
pub fn read_token(file: &Path) -> anyhow::Result<Vec<u8>> {
    use anyhow::Context as _;
    let text =
        std::fs::read(file).with_context(|| format!("failed to read the token in {}", file.display()))?;
    let token = text.trim_ascii().to_vec();
    if token.len() < SHORTEST_TOKEN {
        anyhow::bail!("the token in {} has less than {SHORTEST_TOKEN} bytes", file.display());
    }
    Ok(token)
}

/// Compares in constant time.
fn is_same(given: &[u8], expected: &[u8]) -> bool {
    given.len() == expected.len()
        && given.iter().zip(expected).fold(0, |differs, (given, expected)| differs | (given ^ expected)) == 0
}

#[cfg(test)]
mod tests {
    use super::{is_same, read_token};

    #[test]
    fn a_token_is_read_without_its_line_end_and_never_empty() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        assert!(read_token(&file).unwrap_err().to_string().contains(&file.display().to_string()));
        for (text, is_good) in [("", false), ("\n\n                 \n", false), ("0123456789abcdef\n", true)]
        {
            std::fs::write(&file, text).unwrap();
            assert_eq!(read_token(&file).is_ok(), is_good, "{text:?}");
        }
        assert_eq!(read_token(&file).unwrap(), b"0123456789abcdef");
    }

    #[test]
    fn tokens_are_compared_whole() {
        assert!(is_same(b"abc", b"abc"));
        assert!(!is_same(b"abc", b"abd") && !is_same(b"ab", b"abc") && !is_same(b"", b"abc"));
    }
}
