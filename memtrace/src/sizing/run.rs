//! What `memtrace run` finds out: the page as values.
//!
//! Figures of one or more runs of a command -> [`Page`], which is also its JSON. `budget` judges it, `search` finds the
//! least limit, `advised` a request and a limit, `course` tells start-up, plateau and growth, `spread` compares runs. Pure.

pub mod advised;
pub mod amount;
pub mod budget;
pub mod course;
pub mod judge;
pub mod search;
pub mod spread;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::{advised::Advised, budget::Judged, course::Course, search::Found, spread::Spread};
use super::diff::Diff;
use crate::{
    cgroup::{charge::Charge, memcg::Limit},
    explain::Explanation,
    units::{Bytes, Grade},
};

/// The version of [`Page`]'s JSON form.
pub const SCHEMA: u32 = 1;

/// The page, before it is laid out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The command and its arguments, escaped.
    pub command: Vec<String>,
    /// When it was started first.
    pub started: Timestamp,
    /// Version of the memory controller, 1 or 2.
    pub cgroup_version: u8,
    /// The limit that was asked for.
    pub limit_bytes: Option<Bytes>,
    /// Whether it could use swap; `None` when the node has none.
    pub swap: Option<bool>,
    /// The runs, in order; those of a search for the least limit are in [`Page::search`].
    pub runs: Vec<Run>,
    /// How the peaks of several runs differ.
    pub spread: Option<Spread>,
    /// What was allowed, and whether it was kept.
    pub budget: Vec<Judged>,
    /// The least limit.
    pub search: Option<Found>,
    /// A request and a limit for the command, by the formulas of `memtrace advise`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advised: Option<Advised>,
    /// Why there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_advised: Option<String>,
    /// How it differs from a baseline, if one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<Diff>,
    /// The exit code that memtrace ends with; that of a signal is 128 more than its number.
    pub exit_code: u8,
    /// What is not known, and why.
    pub notes: Vec<String>,
}

/// One run of the command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Path of its cgroup, escaped.
    pub cgroup: String,
    /// Its limit.
    pub limit_bytes: Option<Bytes>,
    /// The lowest limit of a cgroup above it.
    pub outer_limit: Option<Limit>,
    /// How the command ended.
    pub end: End,
    /// From its start to its end.
    pub seconds: f64,
    /// The highest charge.
    pub peak: Option<Peak>,
    /// Start-up, plateau and growth.
    pub course: Course,
    /// The charge by kind, at the highest reading of all kinds.
    pub at_peak: Option<Reading>,
    /// What the memory was made of, when it was looked at last before the peak.
    pub look: Option<Look>,
    /// OOM kills in its cgroup.
    pub oom_kills: Option<u64>,
    /// How often the charge reached the limit (v1: how often a charge failed).
    pub limit_hits: Option<u64>,
    /// Seconds in which all of its tasks waited for memory at once; v1 counts none.
    pub stalled_seconds: Option<f64>,
    /// Processes that were left when the command had ended, and were killed.
    pub left: usize,
    /// Processes that were seen outside of the cgroup, whose memory is not in the figures; at most some of them.
    pub outside: Vec<String>,
    /// Records of its OOM kills, if a daemon has them.
    pub records: Vec<Record>,
    /// What is not known, and why.
    pub notes: Vec<String>,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It exited with this code.
    Exited(u8),
    /// This signal killed it.
    Signalled(u8),
}

impl End {
    /// The exit code, as a shell gives it.
    pub fn code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Signalled(signal) => signal.saturating_add(128),
        }
    }
}

/// The highest charge of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peak {
    /// How much.
    pub bytes: Bytes,
    /// Read: the kernel's own mark. Sampled: the highest sample, as this kernel keeps no mark.
    pub grade: Grade,
}

/// A reading of the charge by kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Seconds since the start.
    pub at: f64,
    /// By kind.
    pub charge: Charge,
}

/// A look at the owners of the memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// Seconds since the start, when it began.
    pub at: f64,
    /// What it saw.
    pub explanation: Explanation,
}

/// The record of an OOM kill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its id, for `memtrace report show`.
    pub id: String,
    /// What happened, in a sentence.
    pub sentence: String,
}

impl Page {
    /// The run with the highest peak, which the page shows and `--save` keeps.
    pub fn shown(&self) -> Option<&Run> {
        self.runs.iter().rev().max_by_key(|run| run.peak.map(|peak| peak.bytes))
    }
}

impl Run {
    /// Whether the OOM killer killed a process of it.
    pub fn was_killed(&self) -> bool {
        self.oom_kills.is_some_and(|kills| kills > 0)
    }

    /// The highest firm memory, between readings too.
    pub fn firm_crest(&self) -> Option<Bytes> {
        firm_crest(self.course.firm_peak_bytes, self.peak, self.at_peak.as_ref())
    }

    /// The share of its time in which all of its tasks waited for memory.
    pub fn stall(&self) -> Option<f64> {
        Some((self.stalled_seconds? / self.seconds.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0))
    }
}

/// The highest firm memory of a run: the kernel's mark without what could be reclaimed at the highest reading, so that a
/// peak between two readings is not missed; at least the highest that was read.
pub(super) fn firm_crest(
    read: Option<Bytes>,
    peak: Option<Peak>,
    at_peak: Option<&Reading>,
) -> Option<Bytes> {
    let marked = peak.zip(at_peak).and_then(|(peak, reading)| reading.charge.firm_of(peak.bytes));
    read.max(marked)
}

/// Runs for the tests.
#[cfg(test)]
pub(crate) mod fixture {
    use super::{Bytes, Course, End, Grade, Page, Peak, Run, SCHEMA};

    /// A page of one run.
    pub(crate) fn page(run: Run) -> Page {
        Page {
            schema: SCHEMA,
            command: vec!["make".to_owned(), "test".to_owned()],
            started: "2026-11-30T12:00:00Z".parse().unwrap_or_default(),
            cgroup_version: 1,
            limit_bytes: run.limit_bytes,
            swap: None,
            runs: vec![run],
            spread: None,
            budget: Vec::new(),
            search: None,
            advised: None,
            not_advised: None,
            against: None,
            exit_code: 0,
            notes: Vec::new(),
        }
    }

    /// A run that exits 0, with this peak.
    pub(crate) fn run(peak: u64) -> Run {
        Run {
            cgroup: "/a/memtrace-run-1-0".to_owned(),
            limit_bytes: None,
            outer_limit: None,
            end: End::Exited(0),
            seconds: 1.5,
            peak: Some(Peak { bytes: Bytes(peak), grade: Grade::Read }),
            course: Course {
                no_growth: Some("not enough samples: 0".to_owned()),
                no_leak_verdict: Some("not enough samples: 0".to_owned()),
                ..Course::default()
            },
            at_peak: None,
            look: None,
            oom_kills: Some(0),
            limit_hits: Some(0),
            stalled_seconds: None,
            left: 0,
            outside: Vec::new(),
            records: Vec::new(),
            notes: Vec::new(),
        }
    }
}
