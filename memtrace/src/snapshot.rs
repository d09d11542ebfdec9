//! The node at one instant: immutable, and the only input of every output.
//!
//! Input: the model. Output: [`Snapshot`], which is also the API's JSON (`schema: 1`).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    container::memcg::Limit,
    ingest::loss::Loss,
    units::{Bytes, Grade},
};

/// The version of [`Snapshot`]'s JSON form.
pub const SCHEMA: u32 = 1;

/// Everything that is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// [`SCHEMA`].
    pub schema: u32,
    /// When it was taken.
    pub time: Timestamp,
    /// How well the tracer saw; `None` when there is no tracer and /proc alone was read.
    pub tracer: Option<Tracer>,
    /// The processes, largest resident memory first.
    pub processes: Vec<ProcessRow>,
}

/// How well the tracer sees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tracer {
    /// Since when it runs.
    pub started: Timestamp,
    /// Events handled since then.
    pub events: u64,
    /// One page fault of so many is sampled; 0 when none is.
    pub fault_period: u64,
    /// Facts that are watched, of all that there are.
    pub hooks_attached: usize,
    /// All facts.
    pub hooks_total: usize,
    /// OOM kills recorded since it runs.
    pub kills: u64,
    /// OOM marks that killed nobody.
    pub bare_marks: u64,
    /// Kills that could not be made durable yet.
    pub kills_not_stored: u64,
    /// What was lost.
    pub losses: Vec<Loss>,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessRow {
    /// Process id.
    pub pid: u32,
    /// Name, escaped.
    pub comm: String,
    /// Real user id.
    pub uid: Option<u32>,
    /// When it started.
    pub started: Option<Timestamp>,
    /// Path of its memory cgroup, escaped.
    pub cgroup: Option<String>,
    /// Resident memory.
    pub rss_bytes: Option<Bytes>,
    /// How that is known.
    pub rss_grade: Grade,
    /// Age of that figure.
    pub rss_age_seconds: Option<f64>,
    /// Growth, bytes per second.
    pub growth_bytes_per_second: Option<f64>,
    /// Over how many seconds.
    pub growth_window_seconds: Option<f64>,
    /// The lowest limit that it is under, and whose.
    pub limit: Option<Limit>,
}

impl Snapshot {
    /// Orders the processes as every output shows them: largest first, then by pid, so that rows do not jump.
    pub fn sort(&mut self) {
        self.processes.sort_by_key(|process| (std::cmp::Reverse(process.rss_bytes), process.pid));
    }
}
