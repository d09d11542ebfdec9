//! The handlers of the pages.
//!
//! A request -> a page, or a page that says why there is none. Must not block the runtime: the store and readers are
//! asked on threads that may wait.

use std::sync::Arc;

use axum::{
    extract::{Path as UrlPath, State},
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{Html, IntoResponse as _, Response},
};
use hyper::body::Bytes;

use super::{
    event,
    frame::{self, Place, document},
    kills, node, target,
};
use crate::{
    api::state::{ApiState, Source},
    explain::{self, facts, find},
    reader::Remote,
    report,
    snapshot::Snapshot,
    store::{Store, StoreError},
    text::printable_start,
};

const SCRIPT: &str = include_str!("page.js");
const STYLE: &str = include_str!("page.css");
/// A new daemon may have another one.
const BRIEFLY: &str = "private, max-age=60";

type Failed = (StatusCode, Html<String>);

fn failed(status: StatusCode, why: &str) -> Failed {
    let what = match status {
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::CONFLICT => "Ambiguous",
        StatusCode::SERVICE_UNAVAILABLE => "Busy",
        _ => "Failed",
    };
    (status, Html(frame::failed(what, &printable_start(why))))
}

pub(super) async fn style() -> Response {
    let fields = [(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, BRIEFLY)];
    (fields, format!("{}{STYLE}", report::STYLE)).into_response()
}

pub(super) async fn script() -> Response {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8"), (CACHE_CONTROL, BRIEFLY)], SCRIPT).into_response()
}

/// The changing part of the node's page as an event, made once per snapshot for all.
pub(super) async fn changing(ApiState { source, pages }: ApiState) -> Result<Bytes, StatusCode> {
    let latest = Arc::clone(&source.snapshots.borrow());
    let make = move |snapshot: Arc<Snapshot>| {
        let insights = Arc::clone(&source.insights.borrow());
        let kills = kills::newest(&source.state_dir);
        Ok(event::event(&node::changing(&snapshot, &insights, &kills).into_string()))
    };
    pages.node.get(&latest, make).await
}

pub(super) async fn node(State(state): State<ApiState>) -> Result<Html<String>, Failed> {
    let event = changing(state).await.map_err(|status| failed(status, "The page could not be made."))?;
    Ok(Html(document("This node", Place::Node, &node::whole(event::html(&event)))))
}

pub(super) async fn target(
    State(ApiState { source, .. }): State<ApiState>,
    UrlPath(word): UrlPath<String>,
) -> Result<Html<String>, Failed> {
    let (snapshot, insights) =
        (Arc::clone(&source.snapshots.borrow()), Arc::clone(&source.insights.borrow()));
    let Source { lane, readers, state_dir, .. } = source;
    let made = move || {
        let subject = find(&snapshot, &word).map_err(|error| {
            let status = match error {
                explain::NotFound::Nothing { .. } => StatusCode::NOT_FOUND,
                explain::NotFound::Several { .. } => StatusCode::CONFLICT,
            };
            failed(status, &error.to_string())
        })?;
        let mut reader = Remote::new(readers);
        let facts = facts::gather(&mut reader, &snapshot, &subject);
        let mut explanation = explain::explain(&snapshot, Some(&insights), &facts, &subject);
        facts::name_stacks(&mut reader, &mut explanation);
        let kills = kills::newest(&state_dir);
        let contents = target::contents(&explanation, &kills);
        Ok(Html(document(&printable_start(&explanation.name), Place::Below, &contents)))
    };
    lane.run(made).await.map_err(|(status, why)| failed(status, why))?
}

pub(super) async fn kill(
    State(ApiState { source, .. }): State<ApiState>,
    UrlPath(id): UrlPath<String>,
) -> Result<Html<String>, Failed> {
    let read = move || {
        let store = Store::open_read_only(&source.state_dir)?;
        let Some(record) = store.kill(&id)? else { return Ok(None) };
        let again = store.story_of(&record)?.map(|(story, is_more)| report::again(&story, is_more));
        Ok(Some(Html(document("OOM kill", Place::Below, &report::kill(&record, again.as_deref())))))
    };
    let read = tokio::task::spawn_blocking(read).await;
    let page = match read {
        Ok(Ok(page)) => page,
        Ok(Err(StoreError::Missing { .. })) => None,
        Ok(Err(error @ StoreError::Ambiguous { .. })) => {
            return Err(failed(StatusCode::CONFLICT, &error.to_string()));
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "failed to answer a request for the page of a kill");
            return Err(failed(StatusCode::INTERNAL_SERVER_ERROR, "The store of kills could not be read."));
        }
        Err(_) => return Err(failed(StatusCode::INTERNAL_SERVER_ERROR, "The page could not be made.")),
    };
    page.ok_or_else(|| failed(StatusCode::NOT_FOUND, "No such OOM kill is recorded."))
}
