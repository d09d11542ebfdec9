//! The maps, and the constants that the daemon sets before loading.

use aya_ebpf::{
    macros::map,
    maps::{Array, LruHashMap, PerCpuArray, RingBuf},
};
use memtrace_common::{
    budget::{KILLS_RING, SIGNALS_RING, Share},
    config::{Config, Offsets},
    counter::Counter,
    event::{
        oom::Request,
        stack::{Head, MOST_BYTES},
    },
};

/// The facts about this kernel, written by the daemon. Read through `black_box`, so that the compiler does not inline
/// the placeholder.
#[unsafe(no_mangle)]
static CONFIG: Config = Config::UNKNOWN;

/// Address-space changes, faults and processes: many, and replaceable by reading /proc. The daemon maps each ring but
/// `KILLS` twice, so its size counts three times: once in the kernel, twice in the daemon's RSS.
#[map]
pub static STREAM: RingBuf = RingBuf::with_byte_size(4 << 20, 0);

/// OOM kills: few and irreplaceable. No other record is in this ring, so nothing can displace them, and a wakeup
/// through it is always a kill. It must hold 1,000 unread kills, which is what comes while the daemon is stopped in a
/// storm of kills: a record takes 4,224 bytes here, so 8 MiB hold 1,985. It outlives the daemon.
#[map]
pub static KILLS: RingBuf = RingBuf::with_byte_size(KILLS_RING, 0);

/// Signals that end processes, within the budgets of `budget.rs`. It holds about 2,900 of 176 bytes: more than the whole
/// node's budget in 100 ms. While no daemon runs it fills up, and nothing depends on that.
#[map]
pub static SIGNALS: RingBuf = RingBuf::with_byte_size(SIGNALS_RING, 0);

/// Copies of user stacks: large, and less valuable than any event. It holds about 125 copies of the usual size.
#[map]
pub static STACKS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// A buffer for a copy before it is sent, because the number of readable bytes is not known beforehand.
#[repr(C)]
pub struct Copy {
    /// The start of the record.
    pub head: Head,
    /// The bytes.
    pub bytes: [u8; MOST_BYTES],
}

/// The buffer of each CPU. Perf programs of one CPU do not interrupt each other.
#[map]
pub static COPY: PerCpuArray<Copy> = PerCpuArray::with_max_entries(1, 0);

/// Time of the last copy on this CPU, in ns since boot.
#[map]
pub static COPIED_AT: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// See [`Counter`].
#[map]
pub static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Counter::COUNT as u32, 0);

/// The task to which the running task's kernel code sent SIGKILL last: the OOM killer does that right before it
/// marks the victim. Key: pid and tgid of the running task.
#[map]
pub static LAST_KILLED: LruHashMap<u64, u64> = LruHashMap::with_max_entries(4096, 0);

/// A failed allocation, and who asked. The kernel copies an entry in this order.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Asked {
    /// The key of the entry. An entry that is evicted becomes another task's while it is read.
    pub by: u64,
    /// What was asked for.
    pub request: Request,
}

/// The failed allocation that started a kill. Key: pid and tgid of the running task.
#[map]
pub static REQUESTS: LruHashMap<u64, Asked> = LruHashMap::with_max_entries(4096, 0);

/// The use of a process's event budget.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Budget {
    /// The process.
    pub tgid: u32,
    /// Events in the period.
    pub used: u32,
    /// The period, see `BUDGET_PERIOD_SHIFT`.
    pub period: u64,
    /// Timer tick at which the time was last read.
    pub tick: u64,
}

/// Slots for event budgets; a power of two.
pub const BUDGET_SLOTS: u32 = 8192;

/// Event budgets, indexed by process id modulo the number of slots: no helper call is needed. A slot belongs to the
/// first process that uses it in a period.
#[map]
pub static BUDGETS: Array<Budget> = Array::with_max_entries(BUDGET_SLOTS, 0);

/// Event budgets of processes whose slot belongs to another process.
#[map]
pub static OTHER_BUDGETS: LruHashMap<u32, Budget> = LruHashMap::with_max_entries(1024, 0);

/// Whose budget it is: facts of a kind that the tasks of one cgroup cause in another.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Pair {
    /// The cgroup of the running task.
    pub from: u64,
    /// The cgroup that it acts on.
    pub to: u64,
    /// What it does: the number of a signal or of a kind of record, and flags.
    pub what: u64,
}

/// States of the budgets of pairs (`memtrace_common::budget::Bucket`). A state that is evicted is full again; the
/// budget of the node still holds.
#[map]
pub static PAIR_BUDGETS: LruHashMap<Pair, u64> = LruHashMap::with_max_entries(4096, 0);

/// Budgets of the node besides those of each [`Share`] of signals, by their index in [`NODE_BUDGETS`].
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Node {
    /// Wakeups by SIGKILL.
    KillWakeups = Share::COUNT,
    /// Wakeups by new cgroups.
    CgroupWakeups,
    /// Cgroups made.
    Mkdir,
    /// Cgroups removed.
    Rmdir,
    /// Their number.
    Count,
}

/// States of the budgets of the node, those of each [`Share`] first.
#[map]
pub static NODE_BUDGETS: Array<u64> = Array::with_max_entries(Node::Count as u32, 0);

/// How much the daemon reduces the load to keep within its own CPU budget: the low half of the word shifts the event
/// budget right, the high half shifts the fault sampling. 0 means no reduction.
#[map]
pub static GOVERNOR: Array<u64> = Array::with_max_entries(1, 0);

/// State of one CPU's fault sampling.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Thinning {
    /// The window, see `FAULT_WINDOW_SHIFT`.
    pub window: u64,
    /// Samples so far; one in 2^`shift` of them is sent.
    pub count: u64,
    /// Reduction of the rate, see `count`.
    pub shift: u32,
    /// Samples sent in the window.
    pub sent: u32,
}

/// The sampling state of each CPU. Perf programs of one CPU do not interrupt each other.
#[map]
pub static THINNING: PerCpuArray<Thinning> = PerCpuArray::with_max_entries(1, 0);

/// The shifts of the event budget and of the fault sampling, see [`GOVERNOR`].
#[inline(always)]
pub fn held_back() -> (u32, u32) {
    let word = GOVERNOR.get(0).copied().unwrap_or(0);
    (word as u32 & 31, (word >> 32) as u32 & 31)
}

/// The constants. Each field read through this is a constant to the verifier.
#[inline(always)]
pub fn config() -> &'static Config {
    // The compiler must not replace reads through this reference by the placeholder's values.
    core::hint::black_box(&CONFIG)
}

/// The offsets.
#[inline(always)]
pub fn offsets() -> &'static Offsets {
    &config().offsets
}
