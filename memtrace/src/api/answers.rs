//! Request handlers for the paths of [`v1`](super::v1).
//!
//! A request -> JSON or a status. Must not block the runtime, nor serialise again what is in the cache.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path as UrlPath, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use hyper::body::Bytes;
use serde::Serialize;

use super::{
    doctor::Diagnosis,
    history_at::history_at,
    lane::{Refusal, bare},
    state::{ApiState, Source},
    v1::{Arenas, Containers, Kills, Processes, Update},
};
use crate::{
    explain::{self, Explanation, facts, find},
    health::Health,
    oom::record::OomRecord,
    probe::status::ProbeStatus,
    reader::{Remote, stacks},
    snapshot::{ProcessRow, Snapshot},
    store::{Filter, Store, StoreError},
    symbols::Symbols,
};

const JSON: &str = "application/json";
/// The content type of the text format that Prometheus expects.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

type Answer = Result<Response, StatusCode>;

fn of_type(kind: &'static str, body: Bytes) -> Response {
    ([(CONTENT_TYPE, kind)], body).into_response()
}

fn bytes(value: &impl Serialize) -> Result<Vec<u8>, StatusCode> {
    serde_json::to_vec(value).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

pub(super) async fn snapshot(State(ApiState { source, pages }): State<ApiState>) -> Answer {
    let latest = Arc::clone(&source.snapshots.borrow());
    let make = move |latest: Arc<Snapshot>| bytes(&named(&latest, &source.symbols));
    Ok(of_type(JSON, pages.snapshot.get(&latest, make).await?))
}

pub(super) async fn containers(State(ApiState { source, pages }): State<ApiState>) -> Answer {
    let insights = Arc::clone(&source.insights.borrow());
    let snapshot = Arc::clone(&source.snapshots.borrow());
    let make = move |insights: Arc<_>| bytes(&Containers::of(&snapshot, &insights));
    Ok(of_type(JSON, pages.containers.get(&insights, make).await?))
}

pub(super) async fn processes(State(ApiState { source, pages }): State<ApiState>) -> Answer {
    let latest = Arc::clone(&source.snapshots.borrow());
    let make = |latest: Arc<Snapshot>| bytes(&Processes::of(&latest));
    Ok(of_type(JSON, pages.processes.get(&latest, make).await?))
}

pub(super) async fn arenas(State(ApiState { source, pages }): State<ApiState>) -> Answer {
    let latest = Arc::clone(&source.snapshots.borrow());
    let make = |latest: Arc<Snapshot>| bytes(&Arenas::of(&latest));
    Ok(of_type(JSON, pages.arenas.get(&latest, make).await?))
}

pub(super) async fn insights(State(ApiState { source, pages }): State<ApiState>) -> Answer {
    let latest = Arc::clone(&source.insights.borrow());
    let make = |latest: Arc<_>| bytes(&*latest);
    Ok(of_type(JSON, pages.insights.get(&latest, make).await?))
}

pub(super) async fn probes(State(ApiState { source, .. }): State<ApiState>) -> Json<Arc<ProbeStatus>> {
    Json(source.probes)
}

/// The snapshot with symbol names in its call stacks.
fn named(snapshot: &Snapshot, symbols: &Symbols) -> Snapshot {
    let mut snapshot = snapshot.clone();
    let has_stacks =
        |row: &ProcessRow| row.memory.as_ref().is_some_and(|memory| !memory.growth_stacks.is_empty());
    for process in snapshot.processes.iter_mut().filter(|row| has_stacks(row)) {
        name(Arc::make_mut(process), symbols);
    }
    snapshot
}

/// Sets the symbol names in a process's call stacks.
fn name(process: &mut ProcessRow, symbols: &Symbols) {
    if let Some(memory) = process.memory.as_mut() {
        stacks::name(process.pid, &mut memory.growth_stacks, |places| symbols.names(places));
    }
}

pub(super) async fn process(
    State(ApiState { source, .. }): State<ApiState>,
    UrlPath(pid): UrlPath<u32>,
) -> Result<Json<ProcessRow>, Refusal> {
    let latest = Arc::clone(&source.snapshots.borrow());
    let row = latest.rows().find(|row| row.pid == pid).ok_or(bare(StatusCode::NOT_FOUND))?;
    let mut row = row.clone();
    let Source { lane, symbols, .. } = source;
    let named = move || {
        name(&mut row, &symbols);
        row
    };
    lane.run(named).await.map(Json)
}

pub(super) async fn history(
    State(ApiState { source, .. }): State<ApiState>,
    UrlPath(at): UrlPath<String>,
) -> Result<Json<Update>, StatusCode> {
    let at = at.parse().map_err(|_| StatusCode::BAD_REQUEST)?;
    // Reads every series.
    let latest = Arc::clone(&source.snapshots.borrow());
    let found = tokio::task::spawn_blocking(move || history_at(&source.history, &latest, at)).await;
    found.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?.map(Json).ok_or(StatusCode::NOT_FOUND)
}

pub(super) async fn kills(State(ApiState { source, pages }): State<ApiState>) -> Answer {
    let latest = Arc::clone(&source.snapshots.borrow());
    let make = move |_| {
        let newest = Filter { limit: Some(Kills::MOST), ..Filter::default() };
        let kills = stored(&source, |store| store.list(&newest))?.unwrap_or_default();
        bytes(&Kills { schema: Kills::SCHEMA, kills })
    };
    Ok(of_type(JSON, pages.kills.get(&latest, make).await?))
}

pub(super) async fn kill(
    State(ApiState { source, .. }): State<ApiState>,
    UrlPath(id): UrlPath<String>,
) -> Result<Json<OomRecord>, StatusCode> {
    let read = tokio::task::spawn_blocking(move || stored(&source, |store| store.kill(&id)));
    let record = read.await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)??.flatten();
    record.map(Json).ok_or(StatusCode::NOT_FOUND)
}

/// Reads the store on a blocking thread; `None` when there is none yet.
fn stored<T>(
    source: &Source,
    read: impl FnOnce(&Store) -> Result<T, StoreError>,
) -> Result<Option<T>, StatusCode> {
    let answer = match Store::open_read_only(&source.state_dir) {
        Ok(store) => read(&store).map(Some),
        Err(StoreError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    };
    answer.map_err(|error| match error {
        StoreError::Ambiguous { .. } => StatusCode::CONFLICT,
        error => {
            tracing::warn!(%error, "failed to answer a request for kills");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    })
}

pub(super) async fn explain(
    State(ApiState { source, .. }): State<ApiState>,
    UrlPath(target): UrlPath<String>,
) -> Result<Json<Explanation>, Refusal> {
    let (snapshot, insights) =
        (Arc::clone(&source.snapshots.borrow()), Arc::clone(&source.insights.borrow()));
    let Source { lane, readers, .. } = source;
    let explained = move || {
        let subject = find(&snapshot, &target).ok()?;
        let mut reader = Remote::new(readers);
        let facts = facts::gather(&mut reader, &snapshot, &subject);
        let mut explanation = explain::explain(&snapshot, Some(&insights), &facts, &subject);
        facts::name_stacks(&mut reader, &mut explanation);
        Some(explanation)
    };
    lane.run(explained).await?.map(Json).ok_or(bare(StatusCode::NOT_FOUND))
}

pub(super) async fn doctor(State(ApiState { source, .. }): State<ApiState>) -> Json<Diagnosis> {
    let latest = Arc::clone(&source.snapshots.borrow());
    Json(source.diagnosis.asked_now(&source.names, &latest, source.beats.health()).await)
}

pub(super) async fn health(State(ApiState { source, .. }): State<ApiState>) -> Json<Health> {
    Json(source.beats.health())
}

pub(super) async fn metrics(State(ApiState { source, pages }): State<ApiState>) -> Answer {
    let latest = Arc::clone(&source.snapshots.borrow());
    let make = move |_| Ok(source.metrics.text().into_bytes());
    Ok(of_type(TEXT, pages.metrics.get(&latest, make).await?))
}

/// Whether the daemon's threads work: no other failure is a reason to restart the daemon.
pub(super) async fn healthy(State(ApiState { source, .. }): State<ApiState>) -> (StatusCode, String) {
    judged(&source.beats.health(), source.readers.counts().stuck)
}

/// The status, and a line for each thread that is late or has ended, and for readers that cannot be killed.
fn judged(health: &Health, stuck: usize) -> (StatusCode, String) {
    let mut troubled = health.troubled().into_iter().map(|thread| format!("{thread}\n")).collect::<String>();
    if stuck > 0 {
        troubled
            .push_str(&format!("{stuck} reader processes cannot be killed; a file system does not answer\n"));
    }
    if health.is_good() {
        (StatusCode::OK, format!("events are processed\n{troubled}"))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, troubled)
    }
}

/// Whether the daemon is healthy and its required hooks are attached.
pub(super) async fn ready(State(state): State<ApiState>) -> (StatusCode, String) {
    let hooks = &state.source.probes.hooks;
    let missing: Vec<_> = hooks.iter().filter(|hook| hook.required && hook.attached.is_none()).collect();
    if let Some(hook) = missing.first() {
        return (StatusCode::SERVICE_UNAVAILABLE, format!("the hook {} is not attached\n", hook.fact));
    }
    let latest = Arc::clone(&state.source.snapshots.borrow());
    if let Some(why) = latest.tracer.as_ref().and_then(|tracer| tracer.store.problem.as_ref()) {
        return (StatusCode::SERVICE_UNAVAILABLE, format!("OOM kills cannot be stored: {why}\n"));
    }
    let (attached, of) = (hooks.iter().filter(|hook| hook.attached.is_some()).count(), hooks.len());
    match healthy(State(state)).await {
        (StatusCode::OK, _) => (StatusCode::OK, format!("tracing with {attached} of {of} hooks\n")),
        still => still,
    }
}

#[cfg(test)]
mod tests {
    use super::{Health, StatusCode, judged};
    use crate::health::{State, ThreadHealth};

    #[test]
    fn health_names_the_thread_and_since_when() {
        let since = "2026-01-02T03:04:05Z".parse().unwrap();
        let thread = |name: &str, is_vital, state| ThreadHealth { name: name.into(), is_vital, state };
        let health = |threads| judged(&Health { threads }, 0);
        let scanner = thread("scanner", false, State::Late { since });
        let good = health(vec![thread("engine", true, State::Well), scanner.clone()]);
        assert_eq!(good.0, StatusCode::OK);
        assert_eq!(good.1, "events are processed\nscanner has made no progress since 2026-01-02T03:04:05Z\n");
        let (status, said) = health(vec![scanner, thread("engine", true, State::Late { since })]);
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(said.starts_with("engine has made no progress since 2026-01-02T03:04:05Z\n"), "{said}");
        let (status, said) = health(vec![thread("namer", false, State::Ended { at: since })]);
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(said, "namer ended unexpectedly at 2026-01-02T03:04:05Z\n");
        // Containers can cause that.
        let (status, said) = judged(&Health::default(), 2);
        assert_eq!(status, StatusCode::OK);
        assert!(said.contains("2 reader processes cannot be killed"), "{said}");
    }
}
