//! What surrounded a kill: names, composition, processes, arenas, timeline, cause and outcome.
//!
//! Plain data, part of [`super::OomRecord`]'s JSON. Everything may be missing: a record from the kernel log has hardly
//! any of it. `evidence.unknown` says why.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{TaskFacts, Victim};
use crate::{
    allocator::counters::{Absent, Counters},
    cgroup::charge::Charge,
    container::name::Name,
    oom::cause::Cause,
    reader::tmpfs::Tmpfs,
    snapshot::{ArenaRow, GrowthStack, Node},
    units::{Bytes, Grade},
};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Circumstances {
    /// Where the record comes from.
    pub source: Source,
    /// What people call the victim's container.
    pub container: Option<Name>,
    /// What people call the trigger's, when it is another.
    pub trigger_container: Option<Name>,
    /// What people call the owner of the limit.
    pub limit_owner_name: Option<Name>,
    /// The other victims, when a group was killed as one (`memory.oom.group`); in the order of their deaths.
    pub more_victims: Vec<Victim>,
    /// What the kernel was asked for.
    pub request: Option<Request>,
    /// What the owner of the limit was charged.
    pub composition: Option<Composition>,
    /// Processes under the limit, largest first.
    pub processes: Vec<ProcessAtKill>,
    /// Whose memory the victim's was.
    pub victim_memory: Option<VictimMemory>,
    /// The limit owner's usage before the kill, oldest first.
    pub timeline: Vec<Point>,
    /// The node's memory.
    pub node: Option<Node>,
    /// Why.
    pub cause: Option<Cause>,
    /// How the victim ended, and what others say of it.
    pub outcome: Option<Outcome>,
}

/// Where a record comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Seen by the kernel programs.
    #[default]
    Live,
    /// Made of the kernel log afterwards.
    KernelLog,
}

/// What the kernel was asked for (`struct oom_control`, exact where a hook on `oom_kill_process` loads).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Request {
    /// log2 of the pages asked for; -1 for a kill that was asked for by sysrq.
    pub order: Option<i32>,
    /// Allocation flags, as the kernel log prints them in hexadecimal.
    pub gfp_mask: Option<String>,
    /// `none`, `cpuset`, `memory_policy`, `memcg`.
    pub constraint: Option<String>,
    /// How this is known.
    pub grade: Option<Grade>,
}

/// What the owner of the limit was charged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Composition {
    /// By kind.
    pub charge: Charge,
    /// Mounts of tmpfs with what is in them, the likeliest to hold the shared memory first.
    pub tmpfs: Vec<Tmpfs>,
    /// Why the mounts were not read, when they should have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tmpfs_not_read: Option<String>,
    /// How it is known.
    pub grade: Grade,
    /// Seconds between this reading and the kill; negative when it was read after it.
    pub age_seconds: f64,
}

/// A process under the limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessAtKill {
    /// Who.
    #[serde(flatten)]
    pub task: TaskFacts,
    /// Resident.
    pub rss_bytes: Option<Bytes>,
    /// Growth, bytes a second.
    pub growth_bytes_per_second: Option<f64>,
    /// Threads.
    #[serde(default)]
    pub threads: Option<u32>,
    /// The process that it is a copy of: forked from it, and no other program started since.
    #[serde(default)]
    pub copy_of: Option<u32>,
    /// How long it had been that.
    #[serde(default)]
    pub copied_seconds_ago: Option<f64>,
    /// Whether it was killed.
    pub is_victim: bool,
    /// How its size is known.
    pub grade: Grade,
}

/// Whose memory the victim's was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VictimMemory {
    /// By allocator and use, largest first.
    pub arenas: Vec<ArenaRow>,
    /// Call stacks that touched most new memory.
    pub growth_stacks: Vec<GrowthStack>,
    /// The allocators' own counters, when they were read last.
    pub counters: Vec<Counters>,
    /// The allocators whose counters could not be read.
    pub without_counters: Vec<Absent>,
    /// Seconds between the counters' reading and the kill.
    pub counters_age_seconds: Option<f64>,
    /// Seconds between the last read of the page tables and the kill.
    pub scan_age_seconds: Option<f64>,
    /// Pages that the faults sampled between the two stand for.
    pub samples: Option<u64>,
    /// Resident and in no row.
    pub unaccounted_bytes: Bytes,
}

/// A point of the timeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Point {
    /// Seconds before the kill.
    pub seconds_before: f64,
    /// Highest usage of the limit owner in the interval that ends here.
    pub usage_bytes: Option<Bytes>,
    /// Its limit then.
    pub limit_bytes: Option<Bytes>,
    /// Its anonymous memory.
    pub anon_bytes: Option<Bytes>,
    /// Its page cache.
    pub file_bytes: Option<Bytes>,
    /// Its shared memory.
    pub shmem_bytes: Option<Bytes>,
    /// Its kernel memory.
    pub kernel_bytes: Option<Bytes>,
}

/// How a process ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// When it was gone.
    pub ended: Option<Timestamp>,
    /// Signal that ended it.
    pub signal: Option<u32>,
    /// Exit code, when no signal did.
    pub exit_code: Option<u32>,
    /// What the runtime says: reason and exit code.
    pub runtime_reason: Option<String>,
    /// See `runtime_reason`.
    pub runtime_exit_code: Option<i32>,
    /// Where they disagree, in words.
    pub disagreement: Option<String>,
}
