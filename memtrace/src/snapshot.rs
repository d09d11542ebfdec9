//! The node at one instant: immutable, and the only input of all outputs.
//!
//! Input: the model. Output: [`Snapshot`], which is also the API's JSON (`schema: 1`).

pub mod stack;
mod tracer;

use std::{borrow::Cow, fmt, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::{
    stack::is_own_function,
    tracer::{Cpu, MemoryUse, Scans, StoreState, Tracer, Walks},
};
use crate::{
    allocator::counters::{Absent, Counters},
    cgroup::{charge::Charge, memcg::Limit},
    container::name::Name,
    mm::growth::WalkedBy,
    units::{Bytes, Grade},
};

/// The version of [`Snapshot`]'s JSON form.
pub const SCHEMA: u32 = 1;

/// The state of the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// [`SCHEMA`].
    pub schema: u32,
    /// When it was taken.
    pub time: Timestamp,
    /// The tracer's status; `None` without a tracer, when only /proc was read.
    pub tracer: Option<Tracer>,
    /// The processes, largest resident memory first.
    pub processes: Vec<Arc<ProcessRow>>,
    /// The cgroups that have processes, and their ancestors with a limit ([`ContainerRow::is_group`]); largest usage
    /// first.
    pub containers: Vec<ContainerRow>,
    /// The node itself.
    #[serde(default)]
    pub node: Node,
}

/// The node's memory (`/proc/meminfo`, `/proc/pressure/memory`); unknown values are `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Total memory.
    pub total_bytes: Option<Bytes>,
    /// Memory available without swapping.
    pub available_bytes: Option<Bytes>,
    /// Free memory.
    pub free_bytes: Option<Bytes>,
    /// Total swap.
    pub swap_total_bytes: Option<Bytes>,
    /// Free swap.
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
    /// How it was determined.
    pub rss_grade: Grade,
    /// When it was read.
    pub rss_read: Option<Timestamp>,
    /// Growth, bytes per second.
    pub growth_bytes_per_second: Option<f64>,
    /// The window of that growth in seconds.
    pub growth_window_seconds: Option<f64>,
    /// The lowest limit that it is under, and whose.
    pub limit: Option<Limit>,
    /// The owners of its memory; `None` until its page tables were read, and if only totals are known.
    pub memory: Option<Memory>,
    /// Why its page tables could not be read the last time, although it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_read: Option<String>,
    /// Why only totals are known; `None` when that is not so.
    #[serde(default)]
    pub totals_only: Option<TotalsOnly>,
    /// The highest total since the last tick, also when it fell again before.
    #[serde(default)]
    pub peak: Option<Peak>,
}

/// Why the regions of a process and their owners are not kept: they do not fit the memory budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotalsOnly {
    /// Number of its mappings when it was given up.
    pub mappings: u64,
}

impl fmt::Display for TotalsOnly {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "totals only: {} mappings, memory budget", self.mappings)
    }
}

impl ProcessRow {
    /// Whether its RSS was never higher since the last tick than now.
    pub fn has_no_peak(&self) -> bool {
        self.peak.as_ref().is_none_or(|peak| peak.time.is_none() && Some(peak.bytes) == self.rss_bytes)
    }
}

/// The owners of a process's memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// One row for each allocator and use, largest first.
    pub arenas: Vec<ArenaRow>,
    /// Resident, but in no row: the kernel's total minus the rows' sum.
    pub unaccounted_bytes: Bytes,
    /// In a row, but no longer resident: the rows' sum minus the kernel's total.
    pub excess_bytes: Bytes,
    /// Why the rows must not be trusted until the next scan, if so.
    pub stale: Option<String>,
    /// Why some owners may be unknown or wrong: what was not searched before the time was over. It is searched at the
    /// next scan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<String>,
    /// When its page tables were last read.
    pub scanned: Option<Timestamp>,
    /// Pages that the faults sampled since then stand for.
    #[serde(default)]
    pub samples: Option<u64>,
    /// The call stacks that touched the most new memory, largest first.
    pub growth_stacks: Vec<GrowthStack>,
    /// The last reading of its allocators' own counters.
    #[serde(default)]
    pub counters: Vec<Counters>,
    /// The allocators whose counters could not be read, and why.
    #[serde(default)]
    pub without_counters: Vec<Absent>,
    /// When the counters were read.
    #[serde(default)]
    pub counters_read: Option<Timestamp>,
}

/// The memory of an allocator for one use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArenaRow {
    /// Name of the allocator, or `module`, `file`, `shmem`, `stack`, `kernel`, `unattributed`.
    pub allocator: Cow<'static, str>,
    /// What for.
    pub kind: Cow<'static, str>,
    /// Number of arenas.
    pub arenas: usize,
    /// Mapped.
    pub mapped_bytes: Bytes,
    /// Resident.
    pub resident_bytes: Bytes,
    /// The part of it that was given back with `MADV_FREE`: resident, but the kernel may reclaim it.
    pub lazy_free_bytes: Bytes,
    /// Swapped out.
    pub swapped_bytes: Bytes,
    /// PSS: resident, shared pages divided by the number of their mappings.
    pub pss_bytes: Option<Bytes>,
    /// The worst grade of its parts.
    pub grade: Grade,
    /// Change over ten seconds, a minute and ten minutes.
    pub growth_bytes: [Option<i64>; 3],
}

/// A call stack that touched new memory first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GrowthStack {
    /// Bytes over ten seconds, a minute and ten minutes; sampled.
    pub bytes: [Bytes; 3],
    /// How the frames were found.
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
    /// Function, if requested and known.
    pub symbol: Option<String>,
    /// Inode of that file: with it the file is known again when the process is gone. Not published.
    #[serde(skip)]
    pub inode: Option<u64>,
}

/// A cgroup and the processes in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerRow {
    /// Path of its cgroup, escaped.
    pub cgroup: String,
    /// Processes in it.
    pub processes: usize,
    /// The kernel's charge, descendants included.
    pub usage_bytes: Option<Bytes>,
    /// The lowest limit that it is under, and whose.
    pub limit: Option<Limit>,
    /// Sum of its processes' RSS; shared pages count once for each process.
    pub rss_bytes: Bytes,
    /// The sums of the processes' rows; uses PSS where it is known.
    pub arenas: Arc<[ArenaRow]>,
    /// Its name.
    #[serde(default)]
    pub name: Option<Arc<Name>>,
    /// Kills of members while the container's first process lived, over all its restarts. No other tool reports them.
    #[serde(default)]
    pub member_kills: u64,
    /// Cgroup id.
    #[serde(default)]
    pub cgroup_id: Option<u64>,
    /// Its charge by kind; `None` when its files could not be read.
    #[serde(default)]
    pub charge: Option<Charge>,
    /// Age of that reading: on nodes with many cgroups, those with the largest change and the oldest reading are read
    /// first.
    #[serde(default)]
    pub charge_age_seconds: Option<f64>,
    /// Whether it has no processes of its own and is listed because of its limit, such as a pod's. Its figures are the
    /// sums of the rows below it and must not be added to them.
    #[serde(default)]
    pub is_group: bool,
    /// The highest total since the last tick, also when it fell again before.
    #[serde(default)]
    pub peak: Option<Peak>,
}

impl ContainerRow {
    /// A row without figures for a cgroup, escaped.
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

    /// Firm memory: the usage without page cache and reclaimable slab, which the kernel can reclaim. `None` when the
    /// charge by kind is not known.
    pub fn firm(&self) -> Option<Bytes> {
        let charge = self.charge.as_ref()?;
        charge.firm_of(self.usage_bytes.or(charge.usage_bytes)?)
    }
}

/// The highest total between two ticks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// The total.
    pub bytes: Bytes,
    /// Its time, as precisely as known.
    pub time: Option<Timestamp>,
    /// How the total was determined.
    pub grade: Grade,
    /// Its parts, largest first: allocator and kind, as in the rows.
    pub owners: Arc<[PeakPart]>,
}

/// A part of a peak.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeakPart {
    /// Name of the allocator, as in its row.
    pub allocator: Cow<'static, str>,
    /// What for.
    pub kind: Cow<'static, str>,
    /// Bytes at the peak.
    pub bytes: Bytes,
}

impl Snapshot {
    /// The rows of processes.
    pub fn rows(&self) -> impl Iterator<Item = &ProcessRow> {
        self.processes.iter().map(|row| &**row)
    }

    /// The age of a time when this snapshot was taken, in seconds.
    pub fn age(&self, of: Option<Timestamp>) -> Option<f64> {
        of.map(|of| age(self.time, of))
    }

    /// Sorts the containers for all outputs: largest first, then by path, so that rows do not jump. The processes are
    /// already sorted: largest first, then by pid.
    pub fn sort(&mut self) {
        self.containers.sort_by(|a, b| {
            (b.usage_bytes, b.rss_bytes, &a.cgroup).cmp(&(a.usage_bytes, a.rss_bytes, &b.cgroup))
        });
    }
}

/// The age of a time at `now`, in seconds.
pub fn age(now: Timestamp, of: Timestamp) -> f64 {
    now.duration_since(of).as_secs_f64().max(0.0)
}
