//! Causes of a kill, each with the numbers that support it.
//!
//! Input: the evidence of a record, as values. Output: [`Cause`]. Pure; rules abstain when the evidence is thin.

mod burst;
pub mod case;
mod ceiling;
mod cpuset;
mod file_tmpfs;
mod fork_cow;
mod kernel_memory;
mod leak;
mod limit_lowered;
mod neighbour;
mod node;
mod requested;
mod retention;
mod start_up;
mod thread_stacks;
mod tight;
mod workers;
mod young;

use serde::{Deserialize, Serialize};

use self::case::{Case, fact};
use super::record::OomRecord;

use crate::{
    snapshot::stack,
    units::{Bytes, Grade},
    verdict::{Confidence, Fact, Remedy},
};

/// Kinds of causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CauseKind {
    /// Memory grew slowly and without end.
    Leak,
    /// Memory grew by much in a short time.
    Burst,
    /// The limit is too low for the normal use of the program.
    LimitTooTight,
    /// The limit was hit while the program started.
    StartUp,
    /// A runtime may grow beyond the limit by its own settings.
    Ceiling,
    /// The allocator retained freed memory.
    AllocatorRetention,
    /// Page cache or tmpfs.
    FileOrTmpfs,
    /// Kernel memory: sockets, pipes, slab, page tables.
    KernelMemory,
    /// Thread stacks.
    ThreadStacks,
    /// Copies of pages after a fork.
    ForkCopyOnWrite,
    /// Another process or container under the same limit.
    Neighbour,
    /// The node had no memory left.
    NodeExhaustion,
    /// The NUMA nodes that a cpuset or memory policy allows had no memory left.
    CpusetOrPolicy,
    /// The limit was lowered below the usage.
    LimitLowered,
    /// A user requested an OOM kill (sysrq).
    Requested,
    /// Too little is known.
    Unknown,
}

impl CauseKind {
    /// A label for people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Leak => "leak: memory grew steadily up to the limit",
            Self::Burst => "burst: memory grew suddenly",
            Self::LimitTooTight => "the limit is too tight for normal use",
            Self::StartUp => "the limit was hit during start-up",
            Self::Ceiling => "ceiling: a runtime may grow beyond the limit",
            Self::AllocatorRetention => "allocator retention: the allocator kept freed memory",
            Self::FileOrTmpfs => "page cache or tmpfs",
            Self::KernelMemory => "kernel memory",
            Self::ThreadStacks => "thread stacks",
            Self::ForkCopyOnWrite => "pages copied after a fork",
            Self::Neighbour => "a neighbour under the same limit",
            Self::NodeExhaustion => "the node ran out of memory",
            Self::CpusetOrPolicy => "the allowed NUMA nodes ran out of memory",
            Self::LimitLowered => "the limit was lowered below the usage",
            Self::Requested => "an OOM kill was requested",
            Self::Unknown => "unknown: not enough data",
        }
    }
}

/// Why it was killed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// Its kind.
    pub kind: CauseKind,
    /// How certain it is.
    pub confidence: Confidence,
    /// One sentence with the numbers in it.
    pub sentence: String,
    /// The facts that support it.
    pub evidence: Vec<Fact>,
    /// What to do, or nothing.
    pub remedies: Vec<Remedy>,
    /// Another cause that the same figures allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Doubt>,
}

/// Another cause that the figures of a kill allow, and how to find out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// The other cause.
    pub kind: CauseKind,
    /// What would show which of the two it is.
    pub settled_by: String,
}

/// The result of a rule: a cause, no cause, or why it abstains.
pub type Outcome = Result<Option<Cause>, String>;

/// All rules, the most specific first: external actions, then kinds of memory, then the course of growth.
const RULES: [fn(&Case<'_>) -> Outcome; 15] = [
    requested::check,
    limit_lowered::check,
    cpuset::check,
    node::check,
    thread_stacks::check,
    fork_cow::check,
    kernel_memory::check,
    file_tmpfs::check,
    ceiling::check,
    retention::check,
    neighbour::check,
    burst::check,
    start_up::check,
    leak::check,
    tight::check,
];

/// The cause of a kill: the most specific one that is more than a guess, else the most specific guess.
pub fn cause(record: &OomRecord) -> Cause {
    let case = Case::new(record);
    let mut guess = None;
    let mut abstained = Vec::new();
    for rule in RULES {
        match rule(&case) {
            Ok(Some(cause)) if cause.confidence > Confidence::Low => return cause,
            Ok(found) => guess = guess.or(found),
            Err(why) if abstained.contains(&why) => {}
            Err(why) => abstained.push(why),
        }
    }
    guess.unwrap_or_else(|| unknown(&case, abstained))
}

fn unknown(case: &Case<'_>, abstained: Vec<String>) -> Cause {
    let limit = case.limit.map_or_else(|| "its limit".to_owned(), |limit| format!("its limit of {limit}"));
    Cause {
        kind: CauseKind::Unknown,
        confidence: Confidence::Low,
        sentence: format!("{} reached {limit}; there is not enough data to tell why", case.owner()),
        evidence: abstained.into_iter().map(|why| fact("unknown", why, Grade::Inferred)).collect(),
        remedies: Vec::new(),
        doubt: None,
    }
}

/// The part of the victim's memory that grew most in the last minute, and the call stack.
fn fastest(case: &Case<'_>) -> Vec<Fact> {
    let grown = case.arenas().iter().filter_map(|row| {
        let [seconds, minute, _] = row.growth_bytes;
        Some((row, minute.or(seconds)?))
    });
    let arena = grown.filter(|(_, growth)| *growth > 0).max_by_key(|(_, growth)| *growth);
    let memory = case.record.circumstances.victim_memory.as_ref();
    let told = memory.and_then(|memory| stack::told(&memory.growth_stacks));
    let place = told.and_then(|told| {
        let frame = told.stack.own_frame().or_else(|| told.stack.own_frames().next())?;
        Some((frame.symbol.clone().or_else(|| frame.module.clone())?, told.amount()))
    });
    let arena = arena.map(|(row, growth)| {
        let bytes = Bytes(growth.unsigned_abs());
        fact(format!("fastest growth: {} {}", row.allocator, row.kind), bytes, row.grade)
    });
    let place =
        place.map(|(place, amount)| fact(format!("new memory touched by {place}"), amount, Grade::Sampled));
    arena.into_iter().chain(place).collect()
}

/// Records for tests.
#[cfg(test)]
#[path = "cause/fixture.rs"]
pub mod fixture;
#[cfg(test)]
#[path = "cause/tests.rs"]
mod tests;
