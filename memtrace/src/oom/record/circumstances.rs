//! The circumstances of a kill: names, composition, processes, arenas, timeline, cause and outcome.
//!
//! Plain data, part of [`super::OomRecord`]'s JSON. Every part may be missing: a record from the kernel log has few of
//! them. `evidence.unknown` gives the reasons.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{TaskFacts, Victim};
use crate::{
    allocator::{
        counters::{Absent, Counters},
        objects::Objects,
    },
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
    /// The name of the victim's container.
    pub container: Option<Name>,
    /// The name of the trigger's container, if it is a different one.
    pub trigger_container: Option<Name>,
    /// The name of the owner of the limit.
    pub limit_owner_name: Option<Name>,
    /// The other victims, if a group was killed as a whole (`memory.oom.group`), in the order of the kills.
    pub more_victims: Vec<Victim>,
    /// The allocation that failed.
    pub request: Option<Request>,
    /// The charge of the owner of the limit.
    pub composition: Option<Composition>,
    /// Processes under the limit, largest first.
    pub processes: Vec<ProcessAtKill>,
    /// The owners of the victim's memory.
    pub victim_memory: Option<VictimMemory>,
    /// What filled the heaps under the limit, by type, as it was read before the kill; the victim's first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<ObjectsBefore>,
    /// The limit owner's usage before the kill, oldest first.
    pub timeline: Vec<Point>,
    /// The node's memory.
    pub node: Option<Node>,
    /// Seconds between the reading of the node's memory and the kill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_age_seconds: Option<f64>,
    /// The cause.
    pub cause: Option<Cause>,
    /// How the victim ended, and the runtime's report.
    pub outcome: Option<Outcome>,
    /// Whether the first process of the victim's cgroup, a container's main process, still ran two seconds later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lives_on: Option<bool>,
}

/// Where a record comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Seen by the kernel programs.
    #[default]
    Live,
    /// Made from the kernel log afterwards.
    KernelLog,
}

/// The allocation that failed (`struct oom_control`; exact if a hook on `oom_kill_process` is attached).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Request {
    /// log2 of the number of pages requested; -1 for a kill requested by sysrq.
    pub order: Option<i32>,
    /// Allocation flags, as the kernel log prints them in hexadecimal.
    pub gfp_mask: Option<String>,
    /// `none`, `cpuset`, `memory_policy`, `memcg`.
    pub constraint: Option<String>,
    /// How the request was determined.
    pub grade: Option<Grade>,
}

/// The charge of the owner of the limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Composition {
    /// By kind.
    pub charge: Charge,
    /// tmpfs mounts with the bytes in them, the one that most likely holds the shared memory first.
    pub tmpfs: Vec<Tmpfs>,
    /// Why the mounts could not be read, if they were needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tmpfs_not_read: Option<String>,
    /// How the charge was determined.
    pub grade: Grade,
    /// Seconds between this reading and the kill; negative when it was read after the kill.
    pub age_seconds: f64,
}

/// A process under the limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessAtKill {
    /// The process.
    #[serde(flatten)]
    pub task: TaskFacts,
    /// Resident.
    pub rss_bytes: Option<Bytes>,
    /// The anonymous part of it; only in a kernel's report of the kill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anon_bytes: Option<Bytes>,
    /// Growth, bytes a second.
    pub growth_bytes_per_second: Option<f64>,
    /// Threads.
    #[serde(default)]
    pub threads: Option<u32>,
    /// The pid of the process that it is a copy of: it was forked from that process and has not called exec since.
    #[serde(default)]
    pub copy_of: Option<u32>,
    /// Seconds since that fork.
    #[serde(default)]
    pub copied_seconds_ago: Option<f64>,
    /// Whether it was killed.
    pub is_victim: bool,
    /// How its size was determined.
    pub grade: Grade,
    /// Seconds between the reading of its size and the kill; 0 when the kernel told it at the kill.
    #[serde(default)]
    pub age_seconds: Option<f64>,
}

/// The owners of the victim's memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VictimMemory {
    /// By allocator and use, largest first.
    pub arenas: Vec<ArenaRow>,
    /// Call stacks that touched most new memory.
    pub growth_stacks: Vec<GrowthStack>,
    /// The last reading of the allocators' own counters.
    pub counters: Vec<Counters>,
    /// The allocators whose counters could not be read.
    pub without_counters: Vec<Absent>,
    /// Seconds between the counters' reading and the kill.
    pub counters_age_seconds: Option<f64>,
    /// Seconds between the last read of the page tables and the kill.
    pub scan_age_seconds: Option<f64>,
    /// Pages that the faults sampled between that scan and the kill stand for.
    pub samples: Option<u64>,
    /// Resident, but in no row.
    pub unaccounted_bytes: Bytes,
}

/// What filled the heaps of a process at the last look before the kill. The growth of a type is that since the look before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ObjectsBefore {
    /// The process.
    pub pid: u32,
    /// Its name, escaped.
    pub comm: String,
    /// Whether it was killed.
    pub is_victim: bool,
    /// Seconds between the last look and the kill.
    pub age_seconds: f64,
    /// The same for the look before; `None` if there was none.
    pub before_age_seconds: Option<f64>,
    /// Its heaps: the largest types, and those that grew most.
    pub heaps: Vec<Objects>,
    /// Heaps that could not be read, and why.
    pub absent: Vec<Absent>,
}

impl ObjectsBefore {
    /// Whether nothing is told, not even why.
    pub fn is_empty(&self) -> bool {
        self.heaps.is_empty() && self.absent.is_empty()
    }

    /// What is in use in its heaps.
    pub fn in_use(&self) -> u64 {
        self.heaps.iter().map(|heap| heap.heap_bytes.0).fold(0, u64::saturating_add)
    }
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
    /// Its lowest memory without page cache and reclaimable slab in the interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lowest_firm_bytes: Option<Bytes>,
}

impl Point {
    /// Firm memory: usage without page cache; all of the usage if the page cache is not known.
    pub fn firm(&self) -> Option<Bytes> {
        Some(Bytes(self.usage_bytes?.0.saturating_sub(self.file_bytes.unwrap_or_default().0)))
    }
}

/// How a process ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Signal that ended it.
    pub signal: Option<u32>,
    /// Exit code, when no signal did.
    pub exit_code: Option<u32>,
    /// The reason that the runtime reports.
    pub runtime_reason: Option<String>,
    /// The exit code that the runtime reports.
    pub runtime_exit_code: Option<i32>,
    /// How the runtime's report disagrees, in words.
    pub disagreement: Option<String>,
}
