//! Sampled page faults: who touches new pages.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::Header;

/// Frames of a user stack that a fault carries. A frame-pointer walk in libc is short, so this is plenty.
pub const FRAMES: usize = 24;

/// One page fault of every sampling period (perf software event `PERF_COUNT_SW_PAGE_FAULTS`).
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
    /// Zero.
    pub reserved: u32,
    /// Return addresses, innermost first.
    pub stack: [u64; FRAMES],
}
