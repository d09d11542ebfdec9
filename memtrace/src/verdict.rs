//! What it means: findings about a container or a process, each with the numbers that it rests on.
//!
//! Input: history and snapshots. Output: [`Finding`]s. Pure. A rule that has too little to go on abstains.

pub mod trend;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::units::{Bytes, Grade};

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Something else may well be true.
    Low,
    /// It fits all that is known.
    Medium,
    /// The numbers leave no other reading.
    High,
}

/// A number or a fact that a finding rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is, in words that stand alone: `free in jemalloc's dirty pages`.
    pub what: String,
    /// Its value, ready to be read: `412.0 MiB`, `3 of 4`.
    pub value: String,
    /// How it is known.
    pub grade: Grade,
}

/// Something to do, which the evidence supports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remedy {
    /// In one sentence.
    pub text: String,
    /// The exact setting, when there is one: `MALLOC_ARENA_MAX=2`.
    pub setting: Option<String>,
}

/// What shape the memory of something has over time, or what is notable about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It grows and does not stop.
    Leak,
    /// It grew, and has levelled off.
    Plateau,
    /// It jumped, and stayed there.
    Step,
    /// It goes up and down by much, around a level.
    Sawtooth,
    /// It holds much that is free.
    Retention,
    /// Its limit is nearer to its peak than is safe.
    Headroom,
}

/// A verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What.
    pub kind: Kind,
    /// How sure.
    pub confidence: Confidence,
    /// One sentence with the number in it.
    pub sentence: String,
    /// What it rests on.
    pub evidence: Vec<Fact>,
    /// What to do, or nothing.
    pub remedies: Vec<Remedy>,
}

/// What history says of a container, beside its row in the snapshot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Insight {
    /// Usage over the last two minutes, oldest first, evenly spaced; `None` where it was not known.
    pub trend_bytes: Vec<Option<Bytes>>,
    /// Growth of what cannot be reclaimed, robust, bytes a second.
    pub growth_bytes_per_second: Option<f64>,
    /// Seconds until the limit at that rate; `None` when it does not grow, has no limit, or too little is known.
    pub seconds_to_limit: Option<f64>,
    /// OOM kills of its processes, container restarts included.
    pub kills: u64,
    /// Verdicts, most telling first.
    pub findings: Vec<Finding>,
}

/// What history says of each container, by the path of its cgroup, escaped as in the snapshot.
pub type Insights = BTreeMap<String, Insight>;
