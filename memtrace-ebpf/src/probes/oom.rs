//! The OOM kill: everything that is about to disappear, recorded when the kernel marks its victim.
//!
//! The running task is the trigger: it allocated memory (or lowered the limit). The victim is often another task, so
//! its cgroup is never taken from the running task.

use aya_ebpf::{
    EbpfContext,
    helpers::bpf_get_current_pid_tgid,
    macros::{btf_tracepoint, fentry, kprobe, raw_tracepoint, tracepoint},
    programs::{BtfTracePointContext, FEntryContext, ProbeContext, RawTracePointContext, TracePointContext},
};
use aya_log_ebpf::error;
use memtrace_common::{
    COMM_LEN, UNKNOWN,
    config::{ABSENT, victim_form},
    counter::Counter,
    event::{
        Kind,
        oom::{FRAMES, LEVELS, MemcgLevel, NAME_LEN, OomKill, Request, flag},
    },
};

use crate::{
    emit::{header, kill_with, lost},
    kernel::{Pointer, memcg, mm, read, read_pointer, stack, task},
    maps::{Asked, LAST_KILLED, REQUESTS, config, offsets},
};

const UNKNOWN_REQUEST: Request =
    Request { memcg: UNKNOWN, order: 0, gfp_mask: 0, constraint: 0, is_known: 0 };

/// `oom_kill_process(struct oom_control *, const char *)`: afterwards the same task marks the victims.
#[fentry(function = "oom_kill_process")]
pub fn fentry_oom_kill_process(ctx: FEntryContext) -> u32 {
    remember_request(ctx.arg(0));
    0
}

/// The same hook as a kprobe.
#[kprobe(function = "oom_kill_process")]
pub fn kprobe_oom_kill_process(ctx: ProbeContext) -> u32 {
    if let Some(control) = ctx.arg(0) {
        remember_request(control);
    }
    0
}

#[inline(always)]
fn remember_request(control: Pointer) {
    let fields = offsets();
    if control.is_null() || fields.oc_memcg == ABSENT {
        return;
    }
    let group = read_pointer(control, fields.oc_memcg, Counter::MemcgRead);
    let request = Request {
        memcg: if group.is_null() { 0 } else { memcg::id(group) },
        order: read(control, fields.oc_order, Counter::MemcgRead, 0),
        gfp_mask: read(control, fields.oc_gfp_mask, Counter::MemcgRead, 0),
        constraint: read(control, fields.oc_constraint, Counter::MemcgRead, 0),
        is_known: 1,
    };
    let by = bpf_get_current_pid_tgid();
    if REQUESTS.insert(by, Asked { by, request }, 0).is_err() {
        lost(Counter::KillForgotten);
    }
}

/// The request of the running task.
#[inline(always)]
fn request() -> Request {
    let key = bpf_get_current_pid_tgid();
    let Some(entry) = REQUESTS.get_ptr(key) else { return UNKNOWN_REQUEST };
    // SAFETY: the memory of a map stays. Other tasks may write to it meanwhile, so each field is read once, and last the
    // one that is written first.
    let (request, by) = unsafe {
        let from = &raw const (*entry).request;
        let request = Request {
            memcg: (&raw const (*from).memcg).read_volatile(),
            order: (&raw const (*from).order).read_volatile(),
            gfp_mask: (&raw const (*from).gfp_mask).read_volatile(),
            constraint: (&raw const (*from).constraint).read_volatile(),
            is_known: (&raw const (*from).is_known).read_volatile(),
        };
        (request, (&raw const (*entry).by).read_volatile())
    };
    if by != key {
        lost(Counter::KillForgotten);
        return UNKNOWN_REQUEST;
    }
    request
}

/// `mark_victim(int pid)` or `mark_victim(struct task_struct *, uid_t)`: `CONFIG.victim_form` says which.
#[btf_tracepoint(function = "mark_victim")]
pub fn mark_victim(ctx: BtfTracePointContext) -> u32 {
    let killed = last_killed();
    // `victim_form` gives the argument's type; the verifier rejects reading it as the other type.
    let (victim, tid): (Pointer, u32) = if config().victim_form == victim_form::TASK {
        (ctx.arg(0), 0)
    } else {
        // Only a pid: the victim is the task to which this code path has just sent SIGKILL, if the pid matches.
        let tid = ctx.arg(0);
        (if task::tid(killed) == tid { killed } else { core::ptr::null() }, tid)
    };
    if victim.is_null() {
        lost(Counter::VictimUnknown);
        error!(&ctx, "the OOM victim with thread id {} has no task here", tid);
    }
    kill_with::<OomKill>(|out| {
        // SAFETY: `out` is the reserved record.
        unsafe {
            freeze(&ctx, Kind::OomKill, victim, out);
            if victim.is_null() {
                (*out).victim.tid = tid;
            } else if killed == victim {
                (*out).flags |= flag::SIGNALLED;
            }
        }
    });
    0
}

/// `oom:mark_victim` without BTF: the record's fields at the offsets of its `format` file.
#[tracepoint]
pub fn mark_victim_classic(ctx: TracePointContext) -> u32 {
    let fields = &config().classic_victim;
    kill_with::<OomKill>(|out| {
        // SAFETY: `out` is the reserved record.
        unsafe {
            freeze(&ctx, Kind::OomKill, core::ptr::null(), out);
            (*out).flags |= flag::CLASSIC;
            let tid = field::<u32>(&ctx, fields.pid).unwrap_or(0);
            (*out).victim.tid = tid;
            // Older kernels give only the pid, but the trigger is often the victim.
            if tid == bpf_get_current_pid_tgid() as u32 {
                task::fill_current(&raw mut (*out).victim);
            }
            if let Some(uid) = field::<u32>(&ctx, fields.uid) {
                (*out).victim.uid = uid;
            }
            if let Some(adj) = field::<i16>(&ctx, fields.oom_score_adj) {
                (*out).victim.oom_score_adj = i32::from(adj);
            }
            (*out).mm.total_vm = field::<u64>(&ctx, fields.total_vm).unwrap_or(UNKNOWN);
            (*out).mm.anon = field::<u64>(&ctx, fields.anon_rss).unwrap_or(UNKNOWN);
            (*out).mm.file = field::<u64>(&ctx, fields.file_rss).unwrap_or(UNKNOWN);
            (*out).mm.shmem = field::<u64>(&ctx, fields.shmem_rss).unwrap_or(UNKNOWN);
            if let Some(kib) = field::<u64>(&ctx, fields.pgtables) {
                (*out).mm.pgtables_bytes = kib << 10;
            }
            // `__data_loc`: the low half is where the string starts in the record.
            if let Some(location) = field::<u32>(&ctx, fields.comm) {
                (*out).victim.comm =
                    field::<[u8; COMM_LEN]>(&ctx, location & 0xffff).unwrap_or([0; COMM_LEN]);
            }
        }
    });
    0
}

/// Run once by the daemon and never attached: makes the same record of the daemon's own process, to be compared with
/// /proc.
#[raw_tracepoint(tracepoint = "sys_enter")]
pub fn self_check(ctx: RawTracePointContext) -> i32 {
    kill_with::<OomKill>(|out| {
        // SAFETY: `out` is the reserved record.
        unsafe { freeze(&ctx, Kind::SelfCheck, task::current(), out) };
    });
    0
}

/// Fills the whole record.
///
/// # Safety
/// `out` must be valid for writes of an `OomKill`.
#[inline(always)]
unsafe fn freeze(ctx: &impl EbpfContext, kind: Kind, victim: Pointer, out: *mut OomKill) {
    let mut flags = 0;
    // SAFETY: the caller vouches for `out`; every field is written.
    unsafe {
        (*out).header = header(kind);
        clear_chain(&raw mut (*out).chain);
        (*out).kernel_stack = [0; FRAMES];
        (*out).user_stack = [0; FRAMES];
        task::fill_current(&raw mut (*out).trigger);
        (*out).mm = mm::UNKNOWN_USE;
        (*out).request = request();
        (*out).threads = 0;
        (*out).parent = 0;
        (*out).chain_len = 0;
        if victim.is_null() {
            task::fill_unknown(0, &raw mut (*out).victim);
        } else {
            flags |= flag::VICTIM_READ;
            task::fill(victim, &raw mut (*out).victim);
            mm::fill(mm::of_task(victim), &raw mut (*out).mm);
            (*out).threads = task::threads(victim);
            (*out).parent = task::parent(victim);
            let chain = (&raw mut (*out).chain).cast::<MemcgLevel>();
            let (levels, truncated) = memcg::fill_chain(memcg::of_task(victim), chain);
            (*out).chain_len = levels;
            if truncated {
                flags |= flag::CHAIN_TRUNCATED;
                lost(Counter::ChainTruncated);
            }
        }
        (*out).kernel_stack_len = stack::kernel(ctx, &raw mut (*out).kernel_stack);
        (*out).user_stack_len = stack::user(ctx, &raw mut (*out).user_stack);
        (*out).flags = flags;
    }
}

/// Zeroes the levels word by word, because the ring buffer does not clear a reserved record.
///
/// # Safety
/// `chain` must be valid for writes.
#[inline(always)]
unsafe fn clear_chain(chain: *mut [MemcgLevel; LEVELS]) {
    const WORDS: usize = size_of::<[MemcgLevel; LEVELS]>() / size_of::<u64>();
    const { assert!(NAME_LEN.is_multiple_of(8)) };
    let words = chain.cast::<u64>();
    for index in 0..WORDS {
        // SAFETY: index < WORDS, and every bit pattern is a level. Volatile, or the compiler makes it a call.
        unsafe { words.add(index).write_volatile(0) };
    }
}

/// The task to which the running task's kernel code just sent SIGKILL; null for none. The entry is removed.
#[inline(always)]
fn last_killed() -> Pointer {
    let key = bpf_get_current_pid_tgid();
    // SAFETY: the value is a number, and only this task writes the entry of this key.
    let task = match unsafe { LAST_KILLED.get(key) } {
        Some(task) => *task,
        None => return core::ptr::null(),
    };
    let _ = LAST_KILLED.remove(key);
    task as Pointer
}

#[inline(always)]
fn field<T>(ctx: &TracePointContext, offset: u32) -> Option<T> {
    if offset == ABSENT {
        return None;
    }
    // SAFETY: the helper checks the address.
    unsafe { ctx.read_at(offset as usize) }.ok()
}
