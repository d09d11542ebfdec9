//! SIGKILL, SIGTERM, SIGABRT, SIGBUS and SIGSEGV, with their sender.

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::btf_tracepoint, programs::BtfTracePointContext};
use memtrace_common::{
    counter::Counter,
    event::{Kind, kill::Signal},
};

use crate::{
    emit::{header, kill_with, lost},
    kernel::{Pointer, task},
    maps::LAST_KILLED,
};

const SIGABRT: u32 = 6;
const SIGBUS: u32 = 7;
const SIGKILL: u32 = 9;
const SIGSEGV: u32 = 11;
const SIGTERM: u32 = 15;
/// `SEND_SIG_PRIV` (include/linux/sched/signal.h): the kernel itself is the sender.
const SEND_SIG_PRIV: u64 = 1;

/// `signal_generate(int sig, struct kernel_siginfo *, struct task_struct *, int group, int result)`
#[btf_tracepoint(function = "signal_generate")]
pub fn signal_generate(ctx: BtfTracePointContext) -> u32 {
    let signal: u32 = ctx.arg(0);
    if !matches!(signal, SIGABRT | SIGBUS | SIGKILL | SIGSEGV | SIGTERM) {
        return 0;
    }
    let (info, target, result): (u64, Pointer, u32) = (ctx.arg(1), ctx.arg(2), ctx.arg(4));
    let from_kernel = info == SEND_SIG_PRIV;
    if from_kernel && signal == SIGKILL {
        // The oom probe looks this up.
        if LAST_KILLED.insert(bpf_get_current_pid_tgid(), target as u64, 0).is_err() {
            lost(Counter::KillForgotten);
        }
    }
    kill_with::<Signal>(|out| {
        // SAFETY: `out` is the reserved record.
        unsafe {
            (*out).header = header(Kind::Signal);
            task::fill_current(&raw mut (*out).sender);
            task::fill(target, &raw mut (*out).target);
            (*out).signal = signal;
            (*out).from_kernel = u32::from(from_kernel);
            (*out).result = result;
            (*out).reserved = 0;
        }
    });
    0
}
