//! Verdicts: findings about a container or a process, each with the numbers that support it.
//!
//! Input: history and snapshots. Output: [`Finding`]s. Pure. A rule without enough data abstains.

pub mod ceiling;
pub mod growth;
mod headroom;
mod leak;
mod plateau;
pub mod retention;
mod sawtooth;
pub mod shape;
mod step;
pub mod thrash;
pub mod trend;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::{shape::Shape, thrash::ReadAgain, trend::Sample};
pub use crate::allocator::advice::Remedy;
use crate::{
    allocator::counters::Counters,
    snapshot::ArenaRow,
    units::{Bytes, Grade},
};

/// The confidence of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Other explanations are plausible.
    Low,
    /// It fits all known facts.
    Medium,
    /// The numbers allow no other explanation.
    High,
}

/// A number or a fact that supports a finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is, in words that need no context: `free in jemalloc's dirty pages`.
    pub what: String,
    /// Its formatted value: `412.0 MiB`, `3 of 4`.
    pub value: String,
    /// How it was determined.
    pub grade: Grade,
}

/// The course of memory over time, or another notable fact about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It grows without end.
    Leak,
    /// It grew, and has levelled off.
    Plateau,
    /// It rose suddenly, and stayed at the new level.
    Step,
    /// It rises and falls by much, around a constant level.
    Sawtooth,
    /// An allocator retains much free memory.
    Retention,
    /// An allocator's figures do not cover its memory: huge pages, or another allocator.
    Coverage,
    /// Its peak is too close to its limit.
    Headroom,
    /// At its limit it reads the same files again and again.
    Thrash,
    /// A runtime may grow beyond the limit.
    Ceiling,
    /// It will reach its limit soon.
    Growth,
}

impl Kind {
    /// Its word in JSON and labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Leak => "leak",
            Self::Plateau => "plateau",
            Self::Step => "step",
            Self::Sawtooth => "sawtooth",
            Self::Retention => "retention",
            Self::Coverage => "coverage",
            Self::Headroom => "headroom",
            Self::Thrash => "thrash",
            Self::Ceiling => "ceiling",
            Self::Growth => "growth",
        }
    }
}

/// A verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Its kind.
    pub kind: Kind,
    /// How certain it is.
    pub confidence: Confidence,
    /// One sentence with the number in it.
    pub sentence: String,
    /// The facts that support it.
    pub evidence: Vec<Fact>,
    /// What to do, or nothing.
    pub remedies: Vec<Remedy>,
}

/// Insights from history into a container, in addition to its row in the snapshot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Insight {
    /// Usage over the last two minutes, oldest first, evenly spaced; `None` where it is unknown.
    pub trend_bytes: Vec<Option<Bytes>>,
    /// Robust growth of memory that cannot be reclaimed, in bytes per second.
    pub growth_bytes_per_second: Option<f64>,
    /// Seconds until memory that cannot be reclaimed reaches the limit at that rate; `None` when it does not grow, has no
    /// limit, or too little is known.
    pub seconds_to_limit: Option<f64>,
    /// Growth of that memory that has ended: the rate is that of the time since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grew: Option<growth::Ended>,
    /// OOM kills of its processes, container restarts included.
    pub kills: u64,
    /// Findings, most important first.
    pub findings: Vec<Finding>,
    /// The memory request that the history of its workload gives (docs/sizing.md).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advised_request_bytes: Option<Bytes>,
    /// The memory limit; a lower bound where the present one was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advised_limit_bytes: Option<Bytes>,
}

/// Insights into each container, by the path of its cgroup, escaped as in the snapshot.
pub type Insights = BTreeMap<String, Insight>;

/// The input of verdicts: the history and the row of one container.
#[derive(Clone, Debug)]
pub struct Picture<'a> {
    /// Its anonymous memory over time, at the highest usage of each interval, oldest first.
    pub samples: &'a [Sample],
    /// The shape of its firm memory since its last restart, from the lowest of each interval; or why there is none.
    pub shape: Result<&'a Shape, String>,
    /// Seconds since its oldest process started.
    pub age: Option<f64>,
    /// Memory without page cache now.
    pub firm: Option<Bytes>,
    /// Highest memory without page cache.
    pub firm_peak: Option<Bytes>,
    /// Its limit.
    pub limit: Option<Bytes>,
    /// Pages of files that it read again since the last judgement; `None` when that is not known.
    pub read_again: Option<ReadAgain>,
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
            age: None,
            firm: None,
            firm_peak: None,
            limit: None,
            read_again: None,
            arenas: &[],
            counters: &[],
        }
    }
}

/// The result of a verdict: a finding, no finding, or why it abstains.
pub type Outcome = Result<Option<Finding>, String>;

/// All verdicts.
pub const ALL: [fn(&Picture<'_>) -> Outcome; 8] = [
    leak::check,
    ceiling::check,
    headroom::check,
    thrash::check,
    retention::check,
    plateau::check,
    step::check,
    sawtooth::check,
];

/// All findings, the most certain first; verdicts that abstain give none.
pub fn findings(picture: &Picture<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = ALL.iter().filter_map(|check| check(picture).ok().flatten()).collect();
    // Stable sort: of equally certain findings the more important stays first.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.confidence));
    findings
}

/// Whether there is a leak, or why that is not known.
///
/// # Errors
/// The reason.
pub fn leak(picture: &Picture<'_>) -> Outcome {
    leak::check(picture)
}

/// Bytes for a sentence, without sign.
fn number(bytes: f64) -> String {
    Bytes(bytes.abs() as u64).to_string()
}

/// Bytes per second in a readable unit.
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
