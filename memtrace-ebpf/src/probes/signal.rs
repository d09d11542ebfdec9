//! SIGKILL, SIGTERM, SIGABRT, SIGBUS and SIGSEGV, with their sender.

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::btf_tracepoint, programs::BtfTracePointContext};
use memtrace_common::{
    budget::{SIGNALS_OF_NODE, SIGNALS_OF_PAIR, Share, WAKEUPS},
    counter::Counter,
    event::{Kind, kill::Signal},
};

use crate::{
    budget,
    emit::{Now, lost, signal_with},
    kernel::{Pointer, task},
    maps::{LAST_KILLED, Node, Pair},
};

const SIGABRT: u32 = 6;
const SIGBUS: u32 = 7;
const SIGKILL: u32 = 9;
const SIGSEGV: u32 = 11;
const SIGTERM: u32 = 15;
/// `SEND_SIG_PRIV` (include/linux/sched/signal.h): the kernel itself is the sender.
const SEND_SIG_PRIV: u64 = 1;
/// `TRACE_SIGNAL_DELIVERED` (include/trace/events/signal.h).
const DELIVERED: u32 = 0;
/// In [`Pair::what`]: the signal came to a process that was ending already, so it must not use up the budget of those
/// that end one.
const TOO_LATE: u64 = 1 << 32;

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
    // A signal that is ignored or pending already ends nobody. It costs no more than this.
    let is_delivered = result == DELIVERED;
    if !is_delivered && signal != SIGKILL {
        return 0;
    }
    let now = Now::get();
    let (from, to) = (budget::whose(task::current()), budget::whose(target));
    let pair = Pair { from, to, what: u64::from(signal) | if is_delivered { 0 } else { TOO_LATE } };
    let share = Share::of(signal, from == to);
    if !budget::of_pair(&pair, &SIGNALS_OF_PAIR, now.ktime())
        || !budget::of_node(share as u32, &SIGNALS_OF_NODE, now.ktime())
    {
        lost(Counter::SignalsThrottled);
        return 0;
    }
    let is_urgent =
        signal == SIGKILL && is_delivered && budget::of_node(Node::KillWakeups as u32, &WAKEUPS, now.ktime());
    signal_with::<Signal>(is_urgent, share.may_use_reserve(), |out| {
        // SAFETY: `out` is the reserved record.
        unsafe {
            (*out).header = now.header(Kind::Signal);
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
