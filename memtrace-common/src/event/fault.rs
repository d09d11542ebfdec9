//! Sampled page faults: which code touches new pages.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Header, Record, fits};

/// Frames of a user stack that a fault carries. Frame-pointer walks that pass through libc are short, so this is
/// enough.
pub const FRAMES: usize = 24;

/// Whether the user stack was copied for a fault, see [`super::stack`].
pub mod copied {
    /// No copy was requested, or it failed.
    pub const NO: u32 = 0;
    /// The copy is in the ring buffer of stacks.
    pub const YES: u32 = 1;
    /// The stack of another fault was copied just before on this CPU; that copy stands for this fault too.
    pub const PASSED_OVER: u32 = 2;
    /// The thread's stack could not be read: it does not exist yet (during execve), it is gone (the kernel reclaims a
    /// victim's memory), or it is swapped out.
    pub const UNREADABLE: u32 = 3;
}

/// A sampled page fault (perf software event `PERF_COUNT_SW_PAGE_FAULTS`): one in every sampling period, or one in 2^n
/// periods when a CPU has too many samples, see [`crate::config::FAULT_WINDOW_MOST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Fault {
    /// Common start.
    pub header: Header,
    /// The address that faulted.
    pub addr: u64,
    /// The number of faults that this sample stands for.
    pub period: u64,
    /// Frames of `stack` that are set; 0 when the stack could not be walked.
    pub stack_len: u32,
    /// See [`copied`].
    pub copied: u32,
    /// Return addresses, innermost first, from a walk by frame pointers.
    pub stack: [u64; FRAMES],
}

impl Record for Fault {
    fn counts_fit(&self) -> bool {
        fits(self.stack_len, &self.stack)
    }
}
