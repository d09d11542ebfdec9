//! The node at one instant: immutable, and the only input of every output.
//!
//! Input: the model. Output: [`Snapshot`], which is also the API's JSON (`schema: 1`).

mod tracer;

use std::{borrow::Cow, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::tracer::{Cpu, Scans, Tracer, Walks};
use crate::{
    allocator::counters::{Absent, Counters},
    cgroup::{charge::Charge, memcg::Limit},
    container::name::Name,
    mm::growth::WalkedBy,
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
    pub processes: Vec<Arc<ProcessRow>>,
    /// The cgroups that have processes, and those above them that have a limit ([`ContainerRow::is_group`]); largest
    /// usage first.
    pub containers: Vec<ContainerRow>,
    /// The node itself.
    #[serde(default)]
    pub node: Node,
}

/// The node's memory (`/proc/meminfo`, `/proc/pressure/memory`); what is not known is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    /// All there is.
    pub total_bytes: Option<Bytes>,
    /// What could be had without swapping.
    pub available_bytes: Option<Bytes>,
    /// Not used for anything.
    pub free_bytes: Option<Bytes>,
    /// Swap there is.
    pub swap_total_bytes: Option<Bytes>,
    /// Swap that is free.
    pub swap_free_bytes: Option<Bytes>,
    /// Share of the last ten seconds in which some task waited for memory, 0 to 1.
    pub pressure_some10: Option<f64>,
    /// The same for all tasks at once.
    pub pressure_full10: Option<f64>,
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
    /// When it was read.
    pub rss_read: Option<Timestamp>,
    /// Growth, bytes per second.
    pub growth_bytes_per_second: Option<f64>,
    /// Over how many seconds.
    pub growth_window_seconds: Option<f64>,
    /// The lowest limit that it is under, and whose.
    pub limit: Option<Limit>,
    /// Whose memory it is; `None` until its page tables were read.
    pub memory: Option<Memory>,
    /// The highest total since the last tick, also when it fell again before.
    #[serde(default)]
    pub peak: Option<Peak>,
}

impl ProcessRow {
    /// Whether it never had more since the last tick than it has now.
    pub fn has_no_peak(&self) -> bool {
        self.peak.as_ref().is_none_or(|peak| peak.time.is_none() && Some(peak.bytes) == self.rss_bytes)
    }
}

/// Whose memory a process's memory is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// One row for each allocator and use, largest first.
    pub arenas: Vec<ArenaRow>,
    /// Resident and in no row: the kernel's total less the rows' sum.
    pub unaccounted_bytes: Bytes,
    /// In a row and not resident any more: the rows' sum less the kernel's total.
    pub excess_bytes: Bytes,
    /// Why the rows are not to be trusted until the next read, if they are not.
    pub stale: Option<String>,
    /// When its page tables were read last.
    pub scanned: Option<Timestamp>,
    /// Pages that the faults sampled since then stand for.
    #[serde(default)]
    pub samples: Option<u64>,
    /// The call stacks that touched most new memory, most first.
    pub growth_stacks: Vec<GrowthStack>,
    /// What its allocators' own counters said when they were read last.
    #[serde(default)]
    pub counters: Vec<Counters>,
    /// The allocators whose counters could not be read, and why.
    #[serde(default)]
    pub without_counters: Vec<Absent>,
    /// When they were.
    #[serde(default)]
    pub counters_read: Option<Timestamp>,
}

/// What an allocator holds for one use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArenaRow {
    /// Name of the allocator, or `module`, `file`, `shmem`, `stack`, `kernel`, `unattributed`.
    pub allocator: Cow<'static, str>,
    /// What for.
    pub kind: Cow<'static, str>,
    /// How many arenas.
    pub arenas: usize,
    /// Mapped.
    pub mapped_bytes: Bytes,
    /// Resident.
    pub resident_bytes: Bytes,
    /// The part of it that was given back with `MADV_FREE`: resident, but the kernel may take it.
    pub lazy_free_bytes: Bytes,
    /// Swapped out.
    pub swapped_bytes: Bytes,
    /// Resident, shared pages divided by the number of their mappings.
    pub pss_bytes: Option<Bytes>,
    /// The worst grade of what is in it.
    pub grade: Grade,
    /// Change over ten seconds, a minute and ten minutes.
    pub growth_bytes: [Option<i64>; 3],
}

/// A call stack that touched new memory first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GrowthStack {
    /// Bytes over ten seconds, a minute and ten minutes; sampled.
    pub bytes: [Bytes; 3],
    /// By what the frames were found.
    #[serde(default)]
    pub walked_by: WalkedBy,
    /// Innermost first.
    pub frames: Vec<UserFrame>,
}

/// A frame of a user stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserFrame {
    /// Address, hexadecimal.
    pub address: String,
    /// Path of the file that is mapped there, as the process sees it, escaped.
    pub module: Option<String>,
    /// Offset in that file.
    pub file_offset: Option<u64>,
    /// Function, when it was asked for and is known.
    pub symbol: Option<String>,
}

/// A cgroup and the processes in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerRow {
    /// Path of its cgroup, escaped.
    pub cgroup: String,
    /// Processes in it.
    pub processes: usize,
    /// What the kernel charges it, descendants included.
    pub usage_bytes: Option<Bytes>,
    /// The lowest limit that it is under, and whose.
    pub limit: Option<Limit>,
    /// Sum of its processes' resident memory; pages that they share count once for each.
    pub rss_bytes: Bytes,
    /// The processes' rows summed up, shared pages divided where that is known.
    pub arenas: Arc<[ArenaRow]>,
    /// What people call it.
    #[serde(default)]
    pub name: Option<Arc<Name>>,
    /// Kills of members while the container's first process lived, over all its restarts: nobody else reports them.
    #[serde(default)]
    pub member_kills: u64,
    /// Cgroup id.
    #[serde(default)]
    pub cgroup_id: Option<u64>,
    /// What it is charged, by kind; `None` when its files could not be read.
    #[serde(default)]
    pub charge: Option<Charge>,
    /// Age of that reading: where there are many cgroups, those that moved most and those that waited longest are
    /// read first.
    #[serde(default)]
    pub charge_age_seconds: Option<f64>,
    /// It has no processes of its own and is listed for its limit, a pod's for one: its figures are the sums of the rows
    /// below it and must not be added to them.
    #[serde(default)]
    pub is_group: bool,
    /// The highest total since the last tick, also when it fell again before.
    #[serde(default)]
    pub peak: Option<Peak>,
}

impl ContainerRow {
    /// A row of which nothing is known but its cgroup, escaped.
    pub fn empty(cgroup: String) -> Self {
        Self {
            cgroup,
            processes: 0,
            usage_bytes: None,
            limit: None,
            rss_bytes: Bytes::default(),
            arenas: Arc::default(),
            name: None,
            member_kills: 0,
            cgroup_id: None,
            charge: None,
            charge_age_seconds: None,
            is_group: false,
            peak: None,
        }
    }
}

/// The highest total between two ticks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// The total.
    pub bytes: Bytes,
    /// When, as near as it is known.
    pub time: Option<Timestamp>,
    /// How it is known.
    pub grade: Grade,
    /// What it was made of, largest first: allocator and kind, as in the rows.
    pub owners: Arc<[PeakPart]>,
}

/// A part of a peak.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeakPart {
    /// Name of the allocator, as in its row.
    pub allocator: Cow<'static, str>,
    /// What for.
    pub kind: Cow<'static, str>,
    /// Bytes then.
    pub bytes: Bytes,
}

impl Snapshot {
    /// The processes.
    pub fn rows(&self) -> impl Iterator<Item = &ProcessRow> {
        self.processes.iter().map(|row| &**row)
    }

    /// How old something was when this was taken, in seconds.
    pub fn age(&self, of: Option<Timestamp>) -> Option<f64> {
        of.map(|of| age(self.time, of))
    }

    /// Orders the containers as every output shows them: largest first, then by path, so that rows do not jump. The
    /// processes come in their order: largest first, then by pid.
    pub fn sort(&mut self) {
        self.containers.sort_by(|a, b| {
            (b.usage_bytes, b.rss_bytes, &a.cgroup).cmp(&(a.usage_bytes, a.rss_bytes, &b.cgroup))
        });
    }
}

/// How old something is at `now`, in seconds.
pub fn age(now: Timestamp, of: Timestamp) -> f64 {
    now.duration_since(of).as_secs_f64().max(0.0)
}
