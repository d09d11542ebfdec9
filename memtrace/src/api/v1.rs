//! Version 1 of the API: paths and shapes of answers, the same for the server and its clients.
//!
//! Plain data with a JSON form. What the snapshot holds is described in [`crate::snapshot`].

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{snapshot::Snapshot, store::KillSummary, verdict::Insights};

/// Paths.
pub mod path {
    /// The latest [`crate::snapshot::Snapshot`].
    pub const SNAPSHOT: &str = "/v1/snapshot";
    /// The [`crate::probe::status::ProbeStatus`].
    pub const PROBES: &str = "/v1/probes";
    /// The latest [`crate::verdict::Insights`].
    pub const INSIGHTS: &str = "/v1/insights";
    /// An [`super::Update`] a line (NDJSON), the first at once, then one a tick; a slow reader gets the latest.
    pub const STREAM: &str = "/v1/stream";
    /// One [`crate::snapshot::ProcessRow`] with the names of its call stacks; the pid follows.
    pub const PROCESSES: &str = "/v1/processes/";
    /// The [`super::Update`] of a time that is past, as far as history goes; the time follows, RFC 3339 in UTC.
    pub const HISTORY: &str = "/v1/history/";
    /// The [`super::Kills`] in the store.
    pub const KILLS: &str = "/v1/kills";
    /// One [`crate::oom::record::OomRecord`]; its id, or the beginning of it, follows.
    pub const KILL: &str = "/v1/kills/";
}

/// A line of the stream. Call stacks are without names.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Update {
    /// The node.
    pub snapshot: Arc<Snapshot>,
    /// What history says.
    pub insights: Arc<Insights>,
}

/// The recorded OOM kills.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kills {
    /// Version of this structure.
    pub schema: u32,
    /// Newest first, [`Kills::MOST`] of them.
    pub kills: Vec<KillSummary>,
}

impl Kills {
    /// [`Kills::schema`].
    pub const SCHEMA: u32 = 1;
    /// Kills that are listed at most.
    pub const MOST: usize = 1000;
}
