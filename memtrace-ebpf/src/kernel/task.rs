//! `task_struct`: the identity of a task.

use aya_ebpf::helpers::{
    bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_task, bpf_get_current_uid_gid,
};
use memtrace_common::{COMM_LEN, UNKNOWN, config::ABSENT, counter::Counter, event::task::Task};

use super::{Pointer, memcg, read, read_pointer, read_u64};
use crate::maps::offsets;

/// The running task.
#[inline(always)]
pub fn current() -> Pointer {
    // SAFETY: the helper only returns an address.
    unsafe { bpf_get_current_task() as Pointer }
}

/// Process id of a task, 0 when it cannot be read.
#[inline(always)]
pub fn tgid(task: Pointer) -> u32 {
    read(task, offsets().task_tgid, Counter::TaskRead, 0)
}

/// Thread id of a task, 0 when it cannot be read.
#[inline(always)]
pub fn tid(task: Pointer) -> u32 {
    read(task, offsets().task_pid, Counter::TaskRead, 0)
}

/// Threads of the task's process that are alive, 0 when that cannot be read.
#[inline(always)]
pub fn live_threads(task: Pointer) -> i32 {
    read(signal(task), offsets().signal_live, Counter::TaskRead, 0)
}

/// Threads of the task's process, 0 when that cannot be read.
#[inline(always)]
pub fn threads(task: Pointer) -> u32 {
    read(signal(task), offsets().signal_nr_threads, Counter::TaskRead, 0)
}

/// Process id of the parent, 0 when it cannot be read.
#[inline(always)]
pub fn parent(task: Pointer) -> u32 {
    tgid(read_pointer(task, offsets().task_real_parent, Counter::TaskRead))
}

/// Exit code as `wait` will see it: the group's when the whole group is ending, else the task's own.
#[inline(always)]
pub fn exit_code(task: Pointer) -> u32 {
    let group: u32 = read(signal(task), offsets().signal_group_exit_code, Counter::TaskRead, 0);
    if group != 0 { group } else { read(task, offsets().task_exit_code, Counter::TaskRead, u32::MAX) }
}

/// Peak RSS in pages, as `wait4` will report it.
#[inline(always)]
pub fn max_rss(task: Pointer) -> u64 {
    read_u64(signal(task), offsets().signal_maxrss, Counter::TaskRead)
}

#[inline(always)]
fn signal(task: Pointer) -> Pointer {
    read_pointer(task, offsets().task_signal, Counter::TaskRead)
}

/// Writes the known fields of `task` to `out`.
///
/// # Safety
/// `out` must be valid for writes of a `Task`.
#[inline(always)]
pub unsafe fn fill(task: Pointer, out: *mut Task) {
    let leader = read_pointer(task, offsets().task_group_leader, Counter::TaskRead);
    let cred = read_pointer(task, offsets().task_real_cred, Counter::TaskRead);
    // No adjustment has this value: it stands for "could not be read".
    let adj = read(signal(task), offsets().signal_oom_score_adj, Counter::TaskRead, i16::MIN);
    // SAFETY: the caller vouches for `out`; every field is written once.
    unsafe {
        (*out).tgid = tgid(task);
        (*out).tid = tid(task);
        (*out).uid = read(cred, offsets().cred_uid, Counter::TaskRead, u32::MAX);
        (*out).oom_score_adj = if adj == i16::MIN { i32::MIN } else { i32::from(adj) };
        (*out).start_boottime = read_u64(leader, offsets().task_start_boottime, Counter::TaskRead);
        (*out).memcg = memcg::id(memcg::of_task(task));
        (*out).comm = comm(task);
        (*out).leader_comm = comm(leader);
    }
}

/// Writes the known fields of the running task; without offsets, those that helpers return.
///
/// # Safety
/// As for [`fill`].
#[inline(always)]
pub unsafe fn fill_current(out: *mut Task) {
    if offsets().task_tgid != ABSENT {
        // SAFETY: the caller's promise.
        return unsafe { fill(current(), out) };
    }
    let pid_tgid = bpf_get_current_pid_tgid();
    let comm = bpf_get_current_comm().unwrap_or([0; COMM_LEN]);
    // SAFETY: the caller vouches for `out`; every field is written once.
    unsafe {
        (*out).tgid = (pid_tgid >> 32) as u32;
        (*out).tid = pid_tgid as u32;
        (*out).uid = bpf_get_current_uid_gid() as u32;
        (*out).oom_score_adj = i32::MIN;
        (*out).start_boottime = UNKNOWN;
        (*out).memcg = UNKNOWN;
        (*out).comm = comm;
        (*out).leader_comm = [0; COMM_LEN];
    }
}

/// Writes a task of which only the thread id is known.
///
/// # Safety
/// As for [`fill`].
#[inline(always)]
pub unsafe fn fill_unknown(tid: u32, out: *mut Task) {
    // SAFETY: the caller vouches for `out`; every field is written once.
    unsafe {
        (*out).tgid = 0;
        (*out).tid = tid;
        (*out).uid = u32::MAX;
        (*out).oom_score_adj = i32::MIN;
        (*out).start_boottime = UNKNOWN;
        (*out).memcg = UNKNOWN;
        (*out).comm = [0; COMM_LEN];
        (*out).leader_comm = [0; COMM_LEN];
    }
}

#[inline(always)]
fn comm(task: Pointer) -> [u8; COMM_LEN] {
    read(task, offsets().task_comm, Counter::TaskRead, [0; COMM_LEN])
}
