//! What it means: findings about a container or a process, each with the numbers that it rests on.
//!
//! Input: history and snapshots. Output: [`Finding`]s. Pure. A rule that has too little to go on abstains.

mod headroom;
mod leak;
mod plateau;
pub mod retention;
mod sawtooth;
pub mod shape;
mod step;
pub mod trend;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::{shape::Shape, trend::Sample};
use crate::{
    allocator::counters::Counters,
    snapshot::ArenaRow,
    units::{Bytes, Grade},
};

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

/// An action that the evidence supports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remedy {
    /// One sentence.
    pub text: String,
    /// The exact setting, when there is one: `MALLOC_ARENA_MAX=2`.
    pub setting: Option<String>,
}

impl Remedy {
    /// The sentence, and the setting to copy. A setting that is only a number of bytes becomes a part of the sentence.
    pub fn words(&self) -> (String, Option<&str>) {
        let Self { text, setting } = self;
        match setting.as_deref() {
            Some(bytes) if !bytes.is_empty() && bytes.bytes().all(|byte| byte.is_ascii_digit()) => {
                (format!("{text} ({bytes} bytes)"), None)
            }
            setting => (text.clone(), setting),
        }
    }
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

/// What verdicts are made from: one container as its history and its row show it.
#[derive(Clone, Debug)]
pub struct Picture<'a> {
    /// Its anonymous memory over time, oldest first.
    pub samples: &'a [Sample],
    /// The shape of that since its last restart, or why there is none.
    pub shape: Result<&'a Shape, String>,
    /// Highest memory without page cache.
    pub firm_peak: Option<Bytes>,
    /// Its limit.
    pub limit: Option<Bytes>,
    /// Its arenas.
    pub arenas: &'a [ArenaRow],
    /// Its allocators' counters.
    pub counters: &'a [Counters],
}

impl Default for Picture<'_> {
    /// Nothing is known.
    fn default() -> Self {
        Self {
            samples: &[],
            shape: Err("not enough samples: 0".to_owned()),
            firm_peak: None,
            limit: None,
            arenas: &[],
            counters: &[],
        }
    }
}

/// What a verdict says: a finding, nothing to be said, or why it abstains.
pub type Outcome = Result<Option<Finding>, String>;

/// All verdicts.
pub const ALL: [fn(&Picture<'_>) -> Outcome; 6] =
    [leak::check, headroom::check, retention::check, plateau::check, step::check, sawtooth::check];

/// All findings, the surest first; those that abstain say nothing.
pub fn findings(picture: &Picture<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = ALL.iter().filter_map(|check| check(picture).ok().flatten()).collect();
    // Stable: of equal ones the more telling stays first.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.confidence));
    findings
}

/// Bytes for a sentence, whatever their sign.
fn number(bytes: f64) -> String {
    Bytes(bytes.abs() as u64).to_string()
}

/// Bytes a second in the unit that gives a readable number.
pub fn rate(bytes_per_second: f64) -> String {
    let sign = if bytes_per_second < 0.0 { "-" } else { "" };
    let size = bytes_per_second.abs();
    let (size, unit) = match size {
        size if size >= 102_400.0 => (size, "s"),
        size if size * 60.0 >= 102_400.0 => (size * 60.0, "min"),
        size => (size * 3600.0, "h"),
    };
    format!("{sign}{}/{unit}", Bytes(size as u64))
}

#[cfg(test)]
mod tests {
    use super::{Picture, findings, rate};

    #[test]
    fn what_is_not_known_gives_no_finding() {
        assert!(findings(&Picture::default()).is_empty());
    }

    #[test]
    fn rates_are_readable() {
        assert_eq!(rate(3.0 * 1048576.0), "3.0 MiB/s");
        assert_eq!(rate(-20480.0), "-1.2 MiB/min");
        assert_eq!(rate(10.0), "35.2 KiB/h");
    }
}
