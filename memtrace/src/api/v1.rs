//! Version 1 of the API: paths and types of responses, shared by the server and its clients.
//!
//! Plain data with a JSON form. What the snapshot holds is described in [`crate::snapshot`].

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    snapshot::{ArenaRow, ContainerRow, ProcessRow, SCHEMA, Snapshot},
    store::KillSummary,
    verdict::{Insight, Insights},
};

/// Paths.
pub mod path {
    /// The latest [`crate::snapshot::Snapshot`].
    pub const SNAPSHOT: &str = "/v1/snapshot";
    /// The [`super::Containers`].
    pub const CONTAINERS: &str = "/v1/containers";
    /// The [`super::Processes`].
    pub const PROCESS_LIST: &str = "/v1/processes";
    /// The [`super::Arenas`].
    pub const ARENAS: &str = "/v1/arenas";
    /// The [`crate::probe::status::ProbeStatus`].
    pub const PROBES: &str = "/v1/probes";
    /// The latest [`crate::verdict::Insights`].
    pub const INSIGHTS: &str = "/v1/insights";
    /// One [`super::Update`] per line (NDJSON): the first immediately, then one per tick. A slow reader skips updates.
    pub const STREAM: &str = "/v1/stream";
    /// One [`crate::snapshot::ProcessRow`] with the names of its call stacks; the pid follows.
    pub const PROCESSES: &str = "/v1/processes/";
    /// The [`super::Update`] of a past time within the history. The time follows, RFC 3339 in UTC.
    pub const HISTORY: &str = "/v1/history/";
    /// The [`super::Kills`] in the store.
    pub const KILLS: &str = "/v1/kills";
    /// One [`crate::oom::record::OomRecord`]; its id, or a prefix of it, follows.
    pub const KILL: &str = "/v1/kills/";
    /// The [`crate::explain::Explanation`] of a pid, container, pod, unit or cgroup, which follows,
    /// with slashes percent-encoded.
    pub const EXPLAIN: &str = "/v1/explain/";
    /// The output of `memtrace doctor -o json` for the running daemon.
    pub const DOCTOR: &str = "/v1/doctor";
    /// The [`crate::health::Health`] of the daemon's threads.
    pub const HEALTH: &str = "/v1/health";
    /// A profile of the functions that touched new memory, for pprof: `target`, `over` and `format` are in the query.
    pub const PROFILE: &str = "/debug/pprof/memory";
    /// Series for Prometheus.
    pub const METRICS: &str = "/metrics";
    /// 200 while the daemon's threads work, else 503 with the names of those that do not.
    pub const HEALTHY: &str = "/healthz";
    /// 200 while it is healthy and the required hooks are attached, else 503.
    pub const READY: &str = "/readyz";
}

/// The header with the number of call stacks in a profile.
pub const STACKS: &str = "memtrace-stacks";

/// The containers of a snapshot, each with its insight from history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Containers {
    /// Version of this structure.
    pub schema: u32,
    /// When the snapshot was taken.
    pub time: Timestamp,
    /// In its order.
    pub containers: Vec<Container>,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// Its row.
    #[serde(flatten)]
    pub row: ContainerRow,
    /// Insight from history.
    pub insight: Option<Insight>,
}

/// The processes of a snapshot. Call stacks are without names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Processes {
    /// Version of this structure.
    pub schema: u32,
    /// When the snapshot was taken.
    pub time: Timestamp,
    /// In its order.
    pub processes: Vec<Arc<ProcessRow>>,
}

/// Rows of memory by owner, for each process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Arenas {
    /// Version of this structure.
    pub schema: u32,
    /// When the snapshot was taken.
    pub time: Timestamp,
    /// In the order of the snapshot's processes.
    pub arenas: Vec<Arena>,
}

/// The memory of an allocator for one use in one process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Arena {
    /// The process.
    pub pid: u32,
    /// Its name, escaped.
    pub comm: String,
    /// Path of its memory cgroup, escaped.
    pub cgroup: Option<String>,
    /// The row of memory.
    #[serde(flatten)]
    pub row: ArenaRow,
}

impl Containers {
    /// Of a snapshot.
    pub fn of(snapshot: &Snapshot, insights: &Insights) -> Self {
        let container =
            |row: &ContainerRow| Container { row: row.clone(), insight: insights.get(&row.cgroup).cloned() };
        let containers = snapshot.containers.iter().map(container).collect();
        Self { schema: SCHEMA, time: snapshot.time, containers }
    }
}

impl Processes {
    /// Of a snapshot.
    pub fn of(snapshot: &Snapshot) -> Self {
        Self { schema: SCHEMA, time: snapshot.time, processes: snapshot.processes.clone() }
    }
}

impl Arenas {
    /// Of a snapshot.
    pub fn of(snapshot: &Snapshot) -> Self {
        let arenas = snapshot.processes.iter().flat_map(|process| {
            let rows = process.memory.iter().flat_map(|memory| &memory.arenas);
            rows.map(|row| Arena {
                pid: process.pid,
                comm: process.comm.clone(),
                cgroup: process.cgroup.clone(),
                row: row.clone(),
            })
        });
        Self { schema: SCHEMA, time: snapshot.time, arenas: arenas.collect() }
    }
}

/// A line of the stream. Call stacks are without names.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Update {
    /// The node.
    pub snapshot: Arc<Snapshot>,
    /// Insights from history.
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
    /// The most kills in a list.
    pub const MOST: usize = 1000;
}
