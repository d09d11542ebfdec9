//! Reserve, fill, submit, and count what did not fit: the one place where records leave the kernel.

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::{bpf_get_current_pid_tgid, bpf_get_smp_processor_id, bpf_ktime_get_boot_ns},
};
use memtrace_common::{
    config::BUDGET_PERIOD_SHIFT,
    counter::Counter,
    event::{Header, Kind, vma::Throttled},
};

use crate::maps::{BUDGETS, Budget, COUNTERS, KILLS, STACKS, STREAM, config, held_back};

/// Unread bytes of the stream above which the daemon is woken before its next tick.
const WAKE_ABOVE: u64 = 1 << 20;

/// Counts one loss.
#[inline(always)]
pub fn lost(counter: Counter) {
    if let Some(count) = COUNTERS.get_ptr_mut(counter as u32) {
        // SAFETY: the pointer is into this CPU's own slot, and programs of one CPU do not run concurrently at the
        // same level; an interrupting program may lose one count, never corrupt it.
        unsafe { *count += 1 };
    }
}

/// True for the tracer's own process, whose events would only feed themselves.
#[inline(always)]
pub fn is_own_process() -> bool {
    (bpf_get_current_pid_tgid() >> 32) as u32 == config().own_tgid
}

/// The start of a record about the running task, now.
#[inline(always)]
pub fn header(kind: Kind) -> Header {
    let pid_tgid = bpf_get_current_pid_tgid();
    // SAFETY: both helpers only return a number.
    let (ktime, cpu) = unsafe { (bpf_ktime_get_boot_ns(), bpf_get_smp_processor_id()) };
    Header {
        ktime,
        tgid: (pid_tgid >> 32) as u32,
        tid: pid_tgid as u32,
        kind: kind as u16,
        cpu: cpu as u16,
        reserved: 0,
    }
}

/// False when the running process has used up its event budget for this period; counted, and reported once.
///
/// A process that maps and unmaps all the time must be able to hurt neither the node nor the picture of the others.
#[inline(always)]
pub fn is_within_budget() -> bool {
    let limit = u64::from(config().event_budget);
    if limit == 0 {
        return true;
    }
    // Never 0, which would mean all.
    let limit = (limit >> held_back().0).max(1);
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    // SAFETY: the helper only returns a number.
    let period = unsafe { bpf_ktime_get_boot_ns() } >> BUDGET_PERIOD_SHIFT;
    let Some(budget) = BUDGETS.get_ptr_mut(tgid) else {
        // A failure only means that the next event begins the budget.
        let _ = BUDGETS.insert(tgid, Budget { period, used: 1 }, 0);
        return true;
    };
    // SAFETY: the entry is plain numbers; threads of one process may race, and then an event more or less passes.
    let used = unsafe {
        if (*budget).period != period {
            *budget = Budget { period, used: 0 };
        }
        (*budget).used += 1;
        (*budget).used
    };
    if used <= limit {
        return true;
    }
    lost(Counter::Throttled);
    if used == limit + 1 {
        stream(Throttled { header: header(Kind::Throttled) });
    }
    false
}

/// Sends a small record of the stream.
#[inline(always)]
pub fn stream<T: 'static>(record: T) {
    let Some(mut entry) = STREAM.reserve::<T>(0) else {
        return lost(Counter::StreamFull);
    };
    entry.write(record);
    entry.submit(stream_wakeup());
}

/// Sends a record of the stream that is filled in place.
#[inline(always)]
pub fn stream_with<T: 'static>(fill: impl FnOnce(*mut T)) {
    let Some(mut entry) = STREAM.reserve::<T>(0) else {
        return lost(Counter::StreamFull);
    };
    fill(entry.as_mut_ptr());
    entry.submit(stream_wakeup());
}

/// The same, and wakes the daemon: for what is rare and must be looked at at once.
#[inline(always)]
pub fn stream_now_with<T: 'static>(fill: impl FnOnce(*mut T)) {
    let Some(mut entry) = STREAM.reserve::<T>(0) else {
        return lost(Counter::StreamFull);
    };
    fill(entry.as_mut_ptr());
    entry.submit(u64::from(BPF_RB_FORCE_WAKEUP));
}

/// Sends a record of a kill or a fatal signal, filled in place, and wakes the daemon.
#[inline(always)]
pub fn kill_with<T: 'static>(fill: impl FnOnce(*mut T)) {
    let Some(mut entry) = KILLS.reserve::<T>(0) else {
        return lost(Counter::KillsFull);
    };
    fill(entry.as_mut_ptr());
    entry.submit(u64::from(BPF_RB_FORCE_WAKEUP));
}

/// Sends a copy of a stack; false when there was no room. Never wakes the daemon: nothing waits for it.
#[inline(always)]
pub fn stack(record: &[u8]) -> bool {
    let is_sent = STACKS.output::<[u8]>(record, u64::from(BPF_RB_NO_WAKEUP)).is_ok();
    if !is_sent {
        lost(Counter::StacksFull);
    }
    is_sent
}

/// The daemon reads the stream at its own pace; a wakeup for each event would cost more than the event.
#[inline(always)]
fn stream_wakeup() -> u64 {
    if STREAM.query(u64::from(BPF_RB_AVAIL_DATA)) > WAKE_ABOVE { 0 } else { u64::from(BPF_RB_NO_WAKEUP) }
}
