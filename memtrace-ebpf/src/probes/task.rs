//! Fork, exec and exit of processes.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use memtrace_common::event::{
    Kind,
    task::{Exec, Exit, Fork},
};

use crate::{
    emit::{header, stream_with},
    kernel::{Pointer, mm, task},
};

/// `sched_process_exec(struct task_struct *, pid_t, struct linux_binprm *)`
#[btf_tracepoint(function = "sched_process_exec")]
pub fn process_exec(ctx: BtfTracePointContext) -> u32 {
    let task: Pointer = ctx.arg(0);
    stream_with::<Exec>(|out| {
        // SAFETY: `out` is the reserved record.
        unsafe {
            (*out).header = header(Kind::Exec);
            task::fill(task, &raw mut (*out).task);
        }
    });
    0
}

/// `sched_process_fork(struct task_struct *parent, struct task_struct *child)`
#[btf_tracepoint(function = "sched_process_fork")]
pub fn process_fork(ctx: BtfTracePointContext) -> u32 {
    let (parent, child): (Pointer, Pointer) = (ctx.arg(0), ctx.arg(1));
    if task::tid(child) != task::tgid(child) {
        return 0; // a thread
    }
    let shares_mm = mm::of_task(parent) == mm::of_task(child);
    stream_with::<Fork>(|out| {
        // SAFETY: `out` is the reserved record.
        unsafe {
            (*out).header = header(Kind::Fork);
            task::fill(child, &raw mut (*out).child);
            (*out).shares_mm = u32::from(shares_mm);
            (*out).reserved = 0;
        }
    });
    0
}

/// `sched_process_exit(struct task_struct *[, bool group_dead])`. `signal->live` replaces `group_dead`, which older
/// kernels lack.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn process_exit(ctx: BtfTracePointContext) -> u32 {
    let task: Pointer = ctx.arg(0);
    if task::live_threads(task) > 0 {
        return 0; // other threads of the process still run
    }
    stream_with::<Exit>(|out| {
        // SAFETY: `out` is the reserved record.
        unsafe {
            (*out).header = header(Kind::Exit);
            task::fill(task, &raw mut (*out).task);
            (*out).exit_code = task::exit_code(task);
            (*out).reserved = 0;
            (*out).max_rss = task::max_rss(task);
        }
    });
    0
}
