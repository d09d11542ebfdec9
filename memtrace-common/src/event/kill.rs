//! Kills, and the signals that end processes. Each have a ring buffer of their own: nobody can cause OOM kills as fast as
//! signals.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Header, Record, task::Task};

/// The family's kinds, see [`crate::events`].
#[doc(hidden)]
#[macro_export]
macro_rules! kill_events {
    ([$next:path $(, $rest:path)*] $($before:tt)*) => {
        $next! { [$($rest),*] $($before)*
            /// OOM kills and fatal signals.
            Kill(KillEvent) {
                /// A fatal signal was generated.
                Signal = 10, $crate::event::kill::Signal, boxed;
                /// The kernel marked a process as OOM victim.
                OomKill = 11, $crate::event::oom::OomKill, boxed;
                /// Not an event: the OOM record made for the tracer itself, to check the offsets against /proc.
                SelfCheck = 12, $crate::event::oom::OomKill, boxed;
            }
        }
    };
}

/// SIGKILL, SIGTERM, SIGABRT, SIGBUS or SIGSEGV was generated (`signal_generate`). Sent within a budget, see
/// [`crate::budget`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Signal {
    /// Common start; its task was running: the sender, unless the kernel itself sent the signal.
    pub header: Header,
    /// The running task.
    pub sender: Task,
    /// The task that the signal was sent to.
    pub target: Task,
    /// Signal number.
    pub signal: u32,
    /// 1 when the kernel itself sent it (`SEND_SIG_PRIV`), 0 otherwise.
    pub from_kernel: u32,
    /// `TRACE_SIGNAL_*`: 0 means delivered, other values give the reason why not (include/trace/events/signal.h).
    pub result: u32,
    /// Zero.
    pub reserved: u32,
}

impl Record for Signal {}
