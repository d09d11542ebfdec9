//! Reserve, fill, submit, and count what did not fit: the one place where records leave the kernel.

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::{bpf_get_current_pid_tgid, bpf_get_smp_processor_id, bpf_jiffies64, bpf_ktime_get_boot_ns},
};
use memtrace_common::{
    budget::SIGNALS_RESERVE_ABOVE,
    config::BUDGET_PERIOD_SHIFT,
    counter::Counter,
    event::{Header, Kind, Record, space::Throttled},
};

use crate::maps::{
    BUDGET_SLOTS, BUDGETS, Budget, COUNTERS, KILLS, OTHER_BUDGETS, SIGNALS, STACKS, STREAM, config, held_back,
};

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

/// The running task and the time. Read once per program, because each is a helper call.
#[derive(Clone, Copy)]
pub struct Now {
    pid_tgid: u64,
    ktime: u64,
}

impl Now {
    /// The running task and the time now.
    #[inline(always)]
    pub fn get() -> Self {
        // SAFETY: the helper only returns a number.
        Self { pid_tgid: bpf_get_current_pid_tgid(), ktime: unsafe { bpf_ktime_get_boot_ns() } }
    }

    /// Time in ns since boot.
    #[inline(always)]
    pub const fn ktime(&self) -> u64 {
        self.ktime
    }

    /// The start of a record.
    #[inline(always)]
    pub fn header(&self, kind: Kind) -> Header {
        let Self { pid_tgid, ktime } = *self;
        // SAFETY: the helper only returns a number.
        let cpu = unsafe { bpf_get_smp_processor_id() };
        Header {
            ktime,
            tgid: (pid_tgid >> 32) as u32,
            tid: pid_tgid as u32,
            kind: kind as u16,
            cpu: cpu as u16,
            reserved: 0,
        }
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
    Now::get().header(kind)
}

/// Calls `then` for an event, unless the process is the tracer or has used up its event budget for this period. An
/// event above the budget is counted as lost, and the first one is reported.
///
/// A process that maps and unmaps all the time must neither slow down the node nor push out the events of others. Most
/// of its events are above the budget, so their path must be the cheapest: no hash lookup, and the time is read once
/// per timer tick.
#[inline(always)]
pub fn within_budget(then: impl FnOnce(Now)) {
    let pid_tgid = bpf_get_current_pid_tgid();
    let tgid = (pid_tgid >> 32) as u32;
    let limit = config().event_budget;
    if tgid == config().own_tgid {
        return;
    }
    if limit == 0 {
        // SAFETY: the helper only returns a number.
        return then(Now { pid_tgid, ktime: unsafe { bpf_ktime_get_boot_ns() } });
    }
    // Never 0, which would mean all.
    let limit = (limit >> held_back().0).max(1);
    // SAFETY: the helper only returns a number.
    let tick = unsafe { bpf_jiffies64() };
    let Some(slot) = BUDGETS.get_ptr_mut(tgid & (BUDGET_SLOTS - 1)) else { return };
    // SAFETY: the entry is plain numbers. Threads of one process may race, and then one event more or less passes. Two
    // processes may share a slot; each compares `tgid` before it uses the other fields.
    let is_known_over = unsafe { (*slot).tgid == tgid && (*slot).used > limit && (*slot).tick == tick };
    if is_known_over {
        return lost(Counter::Throttled);
    }
    // SAFETY: the helper only returns a number.
    let now = Now { pid_tgid, ktime: unsafe { bpf_ktime_get_boot_ns() } };
    let period = now.ktime >> BUDGET_PERIOD_SHIFT;
    // SAFETY: as above.
    let is_others = unsafe { (*slot).tgid != tgid && (*slot).period == period };
    let budget = if is_others { OTHER_BUDGETS.get_ptr_mut(tgid) } else { Some(slot) };
    let Some(budget) = budget else {
        // After a failure the next event starts the budget.
        let _ = OTHER_BUDGETS.insert(tgid, Budget { tgid, used: 1, period, tick }, 0);
        return then(now);
    };
    // SAFETY: as above.
    let used = unsafe {
        if (*budget).period != period || (*budget).tgid != tgid {
            *budget = Budget { tgid, used: 0, period, tick };
        }
        (*budget).tick = tick;
        (*budget).used = (*budget).used.saturating_add(1);
        (*budget).used
    };
    if used <= limit {
        return then(now);
    }
    lost(Counter::Throttled);
    if used == limit.wrapping_add(1) {
        stream(Throttled { header: now.header(Kind::Throttled) });
    }
}

/// Sends a small record of the stream.
#[inline(always)]
pub fn stream<T: Record>(record: T) {
    let Some(mut entry) = STREAM.reserve::<T>(0) else {
        return lost(Counter::StreamFull);
    };
    entry.write(record);
    entry.submit(stream_wakeup());
}

/// Sends a record of the stream, filled in place.
#[inline(always)]
pub fn stream_with<T: Record>(fill: impl FnOnce(*mut T)) {
    let Some(mut entry) = STREAM.reserve::<T>(0) else {
        return lost(Counter::StreamFull);
    };
    fill(entry.as_mut_ptr());
    entry.submit(stream_wakeup());
}

/// Like [`stream_with`]; wakes the daemon if `is_urgent`.
#[inline(always)]
pub fn stream_urgent_with<T: Record>(is_urgent: bool, fill: impl FnOnce(*mut T)) {
    let Some(mut entry) = STREAM.reserve::<T>(0) else {
        return lost(Counter::StreamFull);
    };
    fill(entry.as_mut_ptr());
    entry.submit(if is_urgent { u64::from(BPF_RB_FORCE_WAKEUP) } else { stream_wakeup() });
}

/// Sends the record of a signal, filled in place; wakes the daemon if `is_urgent`. The last part of the ring is only
/// for those that `may_use_reserve`.
#[inline(always)]
pub fn signal_with<T: Record>(is_urgent: bool, may_use_reserve: bool, fill: impl FnOnce(*mut T)) {
    if !may_use_reserve && SIGNALS.query(u64::from(BPF_RB_AVAIL_DATA)) > SIGNALS_RESERVE_ABOVE {
        return lost(Counter::SignalsFull);
    }
    let Some(mut entry) = SIGNALS.reserve::<T>(0) else {
        return lost(Counter::SignalsFull);
    };
    fill(entry.as_mut_ptr());
    entry.submit(u64::from(if is_urgent { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP }));
}

/// Sends the record of an OOM kill, filled in place, and wakes the daemon.
#[inline(always)]
pub fn kill_with<T: Record>(fill: impl FnOnce(*mut T)) {
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
