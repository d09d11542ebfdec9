//! The pages for browsers: the node, one target, one kill.
//!
//! Published values and the store -> HTML. Pages are made on request: without a viewer nothing is computed, and all
//! viewers of the node share one rendering. They work without script; with it, the node's page follows the node.

mod answers;
mod event;
mod frame;
mod kills;
mod live;
mod node;
mod target;
mod trouble;

use std::sync::Arc;

use axum::{Router, extract::State, middleware, routing::get};
use tokio::sync::watch;

use self::live::Viewers;
use crate::api::{origin, state::ApiState};

/// Makes the routes; all that it makes share the bound on viewers.
pub fn pages() -> impl Fn(watch::Receiver<bool>) -> Router<ApiState> {
    let viewers = Arc::<Viewers>::default();
    move |end| routes(Arc::clone(&viewers), end)
}

fn routes(viewers: Arc<Viewers>, end: watch::Receiver<bool>) -> Router<ApiState> {
    Router::new()
        .route("/", get(answers::node))
        .route("/explain/{target}", get(answers::target))
        .route("/kill/{id}", get(answers::kill))
        .route("/live", get(async move |state: State<ApiState>| live::stream(state, viewers, end)))
        .route(frame::STYLE_PATH, get(answers::style))
        .route(frame::SCRIPT_PATH, get(answers::script))
        .layer(middleware::map_response(frame::guarded))
        .layer(middleware::from_fn(origin::check))
}
