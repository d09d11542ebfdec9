//! Processes: fork, exec and exit.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Header, Record};
use crate::COMM_LEN;

/// The family's kinds, see [`crate::events`].
#[doc(hidden)]
#[macro_export]
macro_rules! task_events {
    ([$next:path $(, $rest:path)*] $($before:tt)*) => {
        $next! { [$($rest),*] $($before)*
            /// Fork, exec and exit of processes.
            Task(TaskEvent) {
                /// A process replaced its program.
                Exec = 7, $crate::event::task::Exec;
                /// A process was forked.
                Fork = 8, $crate::event::task::Fork;
                /// The last thread of a process ended.
                Exit = 9, $crate::event::task::Exit;
            }
        }
    };
}

/// A task's fields in the kernel, at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Task {
    /// Process id, initial pid namespace.
    pub tgid: u32,
    /// Thread id, initial pid namespace.
    pub tid: u32,
    /// Real user id, initial user namespace; `u32::MAX` when it could not be read.
    pub uid: u32,
    /// OOM score adjustment, -1000 to 1000; `i32::MIN` when it could not be read.
    pub oom_score_adj: i32,
    /// Start time of the process's leader, in ns since boot, or [`crate::UNKNOWN`].
    pub start_boottime: u64,
    /// Id of its cgroup in the hierarchy that has the memory controller, or [`crate::UNKNOWN`].
    pub memcg: u64,
    /// Name of the thread, NUL-terminated, any other bytes.
    pub comm: [u8; COMM_LEN],
    /// Name of the process's leader thread.
    pub leader_comm: [u8; COMM_LEN],
}

/// A process replaced its program (`sched_process_exec`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Exec {
    /// Common start.
    pub header: Header,
    /// The process, under its new name.
    pub task: Task,
}

impl Record for Exec {}

/// A process was forked (`sched_process_fork`); new threads are not reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Fork {
    /// Common start; its task is the parent.
    pub header: Header,
    /// The new process.
    pub child: Task,
    /// 1 when parent and child share one address space (vfork, `CLONE_VM`), 0 when the child has a copy.
    pub shares_mm: u32,
    /// Zero.
    pub reserved: u32,
}

impl Record for Fork {}

/// The last thread of a process ended (`sched_process_exit` with `signal->live == 0`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Exit {
    /// Common start; `tid` is the last thread.
    pub header: Header,
    /// The process.
    pub task: Task,
    /// Exit code as `wait` sees it: `code << 8`, or the signal with 0x80 for a core dump.
    pub exit_code: u32,
    /// Zero.
    pub reserved: u32,
    /// Peak RSS in pages (`signal->maxrss`), or [`crate::UNKNOWN`].
    pub max_rss: u64,
}

impl Record for Exit {}
