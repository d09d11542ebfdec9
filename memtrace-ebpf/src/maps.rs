//! The maps, and the constants that the daemon sets before loading.

use aya_ebpf::{
    macros::map,
    maps::{Array, LruHashMap, PerCpuArray, RingBuf},
};
use memtrace_common::{
    config::{Config, Offsets},
    counter::Counter,
    event::{
        oom::Request,
        stack::{Head, MOST_BYTES},
    },
};

/// What the daemon found out about this kernel. Volatile, so that the compiler does not fold the placeholder in.
#[unsafe(no_mangle)]
static CONFIG: Config = Config::UNKNOWN;

/// Address-space changes, faults and processes: many, and replaceable by a look at /proc. The daemon maps each ring
/// twice, so its size shows three times: once in the kernel, twice in the daemon's RSS.
#[map]
pub static STREAM: RingBuf = RingBuf::with_byte_size(4 << 20, 0);

/// OOM kills and fatal signals: few and irreplaceable, so that no flood of the stream can push them out. Room for some
/// 400 kills that nobody reads.
#[map]
pub static KILLS: RingBuf = RingBuf::with_byte_size(2 << 20, 0);

/// Copies of user stacks: large, and worth less than any event. Room for some 125 of the usual size.
#[map]
pub static STACKS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// A copy before it is sent: how much can be read is known only then.
#[repr(C)]
pub struct Copy {
    /// What goes before the bytes.
    pub head: Head,
    /// The bytes.
    pub bytes: [u8; MOST_BYTES],
}

/// Where it is made. Perf programs of one CPU do not interrupt each other.
#[map]
pub static COPY: PerCpuArray<Copy> = PerCpuArray::with_max_entries(1, 0);

/// When a stack was copied last on this CPU.
#[map]
pub static COPIED_AT: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// See [`Counter`].
#[map]
pub static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Counter::COUNT as u32, 0);

/// The task to which the running task's kernel code sent SIGKILL last: the OOM killer does that right before it
/// marks the victim. Key: pid and tgid of the running task.
#[map]
pub static LAST_KILLED: LruHashMap<u64, u64> = LruHashMap::with_max_entries(4096, 0);

/// What the kernel was asked for when it began to kill. Key: pid and tgid of the running task.
#[map]
pub static REQUESTS: LruHashMap<u64, Request> = LruHashMap::with_max_entries(4096, 0);

/// What a process has used of its event budget.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Budget {
    /// The process.
    pub tgid: u32,
    /// Events in the period.
    pub used: u32,
    /// The period, see `BUDGET_PERIOD_SHIFT`.
    pub period: u64,
    /// When the time was looked at last, in the timer's ticks.
    pub tick: u64,
}

/// Slots for event budgets; a power of two.
pub const BUDGET_SLOTS: u32 = 8192;

/// Event budgets by process id, modulo the number of slots: found without a call. A slot is its first process's for a
/// period.
#[map]
pub static BUDGETS: Array<Budget> = Array::with_max_entries(BUDGET_SLOTS, 0);

/// Those of processes whose slot is another's.
#[map]
pub static OTHER_BUDGETS: LruHashMap<u32, Budget> = LruHashMap::with_max_entries(1024, 0);

/// What the daemon holds back to keep within its own budget: the shift of the event budget in the low half of the word,
/// that of the fault sampling in the high half. 0 for nothing.
#[map]
pub static GOVERNOR: Array<u64> = Array::with_max_entries(1, 0);

/// How coarsely the faults of a CPU are sampled.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Thinning {
    /// The window, see `FAULT_WINDOW_SHIFT`.
    pub window: u64,
    /// Samples that the period gave so far, of which one in 2^`shift` is sent.
    pub count: u64,
    /// See `count`.
    pub shift: u32,
    /// Sent in the window.
    pub sent: u32,
}

/// By CPU. Perf programs of one CPU do not interrupt each other.
#[map]
pub static THINNING: PerCpuArray<Thinning> = PerCpuArray::with_max_entries(1, 0);

/// How far to shift the event budget and the fault sampling.
#[inline(always)]
pub fn held_back() -> (u32, u32) {
    let word = GOVERNOR.get(0).copied().unwrap_or(0);
    (word as u32 & 31, (word >> 32) as u32 & 31)
}

/// The constants. Each field read through this is a constant to the verifier.
#[inline(always)]
pub fn config() -> &'static Config {
    // A reference whose reads the compiler cannot see through.
    core::hint::black_box(&CONFIG)
}

/// The offsets.
#[inline(always)]
pub fn offsets() -> &'static Offsets {
    &config().offsets
}
