//! The record of one OOM kill, `schema: 1`: what is stored, shown and served.
//!
//! Plain data with a JSON form. An unknown figure is `None`, and `null` in JSON; names are already escaped
//! (`text::escape`), so every output may print them unchanged.

pub mod circumstances;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::circumstances::Circumstances;
pub use crate::ingest::loss::Loss;
use crate::units::{Bytes, Grade};

/// The version of [`OomRecord`]'s JSON form.
pub const SCHEMA: u32 = 1;

/// One OOM kill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OomRecord {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Unique name of the record: the same kill always gets the same one.
    pub id: String,
    /// When the kernel marked the victim.
    pub time: Timestamp,
    /// The boot that it happened in (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
    /// Nanoseconds since that boot.
    pub ktime_ns: u64,
    /// Version of the memory controller's interface, 1 or 2; it decides what the chain's `swap_*` figures count.
    pub cgroup_version: Option<u8>,
    /// What ran out of memory: a memory cgroup or the node.
    pub scope: Scope,
    /// The cgroup whose limit was hit; `None` for node-wide kills and when it is not known.
    pub limit_owner: Option<LimitOwner>,
    /// The killed process.
    pub victim: Victim,
    /// The task whose allocation failed; often, but not always, the victim.
    pub trigger: Trigger,
    /// The victim's memory cgroup, its parent, and so on up to the root, read at the kill.
    pub chain: Vec<MemcgLevel>,
    /// The trigger's kernel stack, innermost first.
    pub kernel_stack: Vec<Frame>,
    /// The trigger's user stack, innermost first.
    pub user_stack: Vec<Frame>,
    /// How it was recorded, and the tracer's losses until then.
    pub evidence: Evidence,
    /// The circumstances; in JSON their fields are part of the record.
    #[serde(flatten)]
    pub circumstances: Circumstances,
}

/// Bytes of the text in a small value.
const TEXT: usize = 256;

impl OomRecord {
    /// Bytes of memory that it uses, from counts.
    pub fn footprint(&self) -> usize {
        let Circumstances { more_victims, processes, timeline, victim_memory, objects, .. } =
            &self.circumstances;
        let frames = self.kernel_stack.len() + self.user_stack.len();
        let stacks = victim_memory.iter().flat_map(|memory| &memory.growth_stacks);
        let named = stacks.flat_map(|stack| &stack.frames).map(|frame| {
            let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
            size_of_val(frame) + frame.address.len() + text(&frame.module) + text(&frame.symbol)
        });
        let types = objects.iter().flat_map(|process| &process.heaps).flat_map(|heap| &heap.rows);
        let arenas = victim_memory.as_ref().map_or(0, |memory| memory.arenas.len() + memory.counters.len());
        size_of::<Self>()
            + 8 * TEXT
            + more_victims.len() * (size_of::<Victim>() + TEXT)
            + processes.len() * (size_of::<circumstances::ProcessAtKill>() + TEXT)
            + size_of_val(&**timeline)
            + self.chain.len() * (size_of::<MemcgLevel>() + TEXT)
            + frames * (size_of::<Frame>() + TEXT / 2)
            + arenas * TEXT
            + named.sum::<usize>()
            + objects.len() * 4 * TEXT
            + types.map(|row| size_of_val(row) + row.name.len()).sum::<usize>()
    }
}

/// What ran out of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopeKind {
    /// A memory cgroup reached its limit.
    Memcg,
    /// The whole node was out of memory (or the NUMA nodes that are allowed).
    Global,
    /// Not known.
    Unknown,
}

/// See [`ScopeKind`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scope {
    /// What ran out.
    pub kind: ScopeKind,
    /// How the scope was determined.
    pub grade: Grade,
    /// The evidence, in words.
    pub why: String,
}

/// The cgroup whose limit was hit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LimitOwner {
    /// Path below the root of its hierarchy; `None` when not all names on the way were known.
    pub path: Option<String>,
    /// Cgroup id.
    pub cgroup_id: Option<u64>,
    /// Its limit.
    pub limit_bytes: Option<Bytes>,
    /// Its usage at the kill.
    pub usage_bytes: Option<Bytes>,
    /// Its highest usage.
    pub peak_bytes: Option<Bytes>,
    /// Charges that had failed at the limit; also `None` if the kernel does not count them.
    pub fail_count: Option<u64>,
    /// How often the limit had been hit.
    pub limit_hits: Option<u64>,
    /// How the owner was determined.
    pub grade: Grade,
    /// The evidence, in words.
    pub why: String,
}

/// A task at the kill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskFacts {
    /// Process id in the initial pid namespace; `None` when only the thread is known.
    pub pid: Option<u32>,
    /// Thread id; 0 for an unknown task ([`TaskFacts::is_unknown`]).
    pub tid: u32,
    /// Name of the thread.
    pub comm: String,
    /// Name of the process (its leader thread).
    pub process_comm: Option<String>,
    /// Real user id, initial user namespace.
    pub uid: Option<u32>,
    /// -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// When the process started.
    pub started: Option<Timestamp>,
    /// Path of its memory cgroup.
    pub cgroup: Option<String>,
    /// Id of that cgroup.
    pub cgroup_id: Option<u64>,
}

/// Start times within this are equal: no pid is reused so soon.
const ONE_START: Duration = Duration::from_millis(100);

impl TaskFacts {
    /// Whether the task is unknown: the kill is known from the kernel log only, which does not name this task.
    pub fn is_unknown(&self) -> bool {
        self.tid == 0 && self.pid.is_none()
    }

    /// Whether both are the same process: same pid and same start time, because pids are reused. False when either is
    /// unknown. Two conversions of one start time to wall-clock time differ slightly.
    pub fn is_process(&self, other: &Self) -> bool {
        let (Some(pid), Some(start)) = (self.pid, self.started) else { return false };
        other.pid == Some(pid) && other.started.is_some_and(|other| is_same_start(other, start))
    }
}

/// Whether both are the start of one process, given that the pid is the same.
pub fn is_same_start(one: Timestamp, other: Timestamp) -> bool {
    one.as_nanosecond().abs_diff(other.as_nanosecond()) < ONE_START.as_nanos()
}

/// The killed process and its memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Victim {
    /// The task.
    #[serde(flatten)]
    pub task: TaskFacts,
    /// Memory of its address space.
    pub memory: AddressSpaceUse,
}

/// The task whose allocation failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trigger {
    /// The task.
    #[serde(flatten)]
    pub task: TaskFacts,
    /// Whether it belongs to the victim's process.
    pub is_victim: bool,
}

/// The memory of an address space; the same figures as in the kernel log's "Killed process" line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AddressSpaceUse {
    /// Anonymous memory.
    pub anon_bytes: Option<Bytes>,
    /// Resident pages of files.
    pub file_bytes: Option<Bytes>,
    /// Resident shared memory and tmpfs.
    pub shmem_bytes: Option<Bytes>,
    /// Swapped out.
    pub swap_bytes: Option<Bytes>,
    /// Page tables.
    pub page_table_bytes: Option<Bytes>,
    /// Mapped, resident or not.
    pub virtual_bytes: Option<Bytes>,
}

impl AddressSpaceUse {
    /// Resident set size: anonymous, file and shared memory; `None` unless all are known.
    pub fn rss(&self) -> Option<Bytes> {
        Some(Bytes(self.anon_bytes?.0.saturating_add(self.file_bytes?.0).saturating_add(self.shmem_bytes?.0)))
    }
}

/// One memory cgroup on the way to the root.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemcgLevel {
    /// Path below the root of its hierarchy.
    pub path: Option<String>,
    /// Cgroup id.
    pub cgroup_id: Option<u64>,
    /// Charged, descendants included.
    pub usage_bytes: Option<Bytes>,
    /// Limit; also `None` when there is none (see `unlimited`).
    pub limit_bytes: Option<Bytes>,
    /// True when it is known that there is no limit.
    pub unlimited: bool,
    /// Highest usage.
    pub peak_bytes: Option<Bytes>,
    /// Charges that failed at the limit; also `None` if the kernel does not count them (v2 since 6.16).
    pub fail_count: Option<u64>,
    /// How often the limit was hit: the group's own `max` event.
    pub limit_hits: Option<u64>,
    /// Swap used (v2), or memory and swap (v1).
    pub swap_usage_bytes: Option<Bytes>,
    /// Limit of `swap_usage_bytes`.
    pub swap_limit_bytes: Option<Bytes>,
    /// How often this group itself ran out of memory.
    pub oom_events: Option<u64>,
    /// Kills of its own tasks, this one included.
    pub oom_kills: Option<u64>,
    /// Whether the group is killed as a whole (`memory.oom.group`).
    pub oom_group: bool,
}

/// One frame of a stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Address, hexadecimal.
    pub address: String,
    /// Function, when known.
    pub symbol: Option<String>,
}

/// How a kill was recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The hook, as `doctor` names it.
    pub hook: String,
    /// True when the tracer saw the SIGKILL, false when the signal hook was not attached.
    pub kill_signal_seen: bool,
    /// The tracer's losses until this record, with counts; empty when there were none.
    pub losses: Vec<Loss>,
    /// What could not be determined, and why.
    pub unknown: Vec<String>,
}
