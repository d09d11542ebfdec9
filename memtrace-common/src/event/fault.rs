//! Sampled page faults: who touches new pages.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Header, Record, fits};

/// Frames of a user stack that a fault carries. A frame-pointer walk in libc is short, so this is plenty.
pub const FRAMES: usize = 24;

/// Whether the user stack was copied for a fault, see [`super::stack`].
pub mod copied {
    /// None is taken, or it could not be.
    pub const NO: u32 = 0;
    /// Its copy is in the ring buffer of stacks.
    pub const YES: u32 = 1;
    /// Another fault's was copied just before on this CPU, and stands for this one's.
    pub const PASSED_OVER: u32 = 2;
    /// The thread's stack could not be read: it has none yet, as in execve, or none any more, as of a victim whose memory
    /// the kernel takes back; or it is swapped out.
    pub const UNREADABLE: u32 = 3;
}

/// One page fault of every sampling period (perf software event `PERF_COUNT_SW_PAGE_FAULTS`), or of so many periods as
/// keep the samples of a CPU in bounds, see [`crate::config::FAULT_WINDOW_MOST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Fault {
    /// Common start.
    pub header: Header,
    /// The address that faulted.
    pub addr: u64,
    /// The faults that this one stands for.
    pub period: u64,
    /// How many of `stack` are set; 0 when the stack could not be walked.
    pub stack_len: u32,
    /// See [`copied`].
    pub copied: u32,
    /// By frame pointers. Return addresses, innermost first.
    pub stack: [u64; FRAMES],
}

impl Record for Fault {
    fn counts_fit(&self) -> bool {
        fits(self.stack_len, &self.stack)
    }
}
