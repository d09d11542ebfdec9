//! Copies of user stacks: where a walk by unwind tables starts.
//!
//! Not events but parts of one: a copy belongs to the sampled fault of the same thread and time. They have a ring buffer
//! of their own, so that no number of them can push an event out. A record is a [`Head`] and `len` bytes.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// As much as is copied at most.
pub const MOST_BYTES: usize = 16 << 10;
/// As much as is tried last: near a stack's end, or where a page of it is not resident, less is readable. A power of
/// two, as every size that is tried.
pub const LEAST_BYTES: usize = 64;

/// The registers that a caller may find unchanged, and where the thread was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Registers {
    /// Of the next instruction.
    pub ip: u64,
    /// The stack pointer.
    pub sp: u64,
    /// rbp.
    pub bp: u64,
    /// rbx.
    pub bx: u64,
    /// r12.
    pub r12: u64,
    /// r13.
    pub r13: u64,
    /// r14.
    pub r14: u64,
    /// r15.
    pub r15: u64,
}

/// The start of a copy's record; the bytes follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Head {
    /// That of the fault's header.
    pub ktime: u64,
    /// That of the fault's header.
    pub tid: u32,
    /// Bytes that follow.
    pub len: u32,
    /// Address of the first byte: the stack pointer, or the next page where that one's was never touched.
    pub base: u64,
    /// The thread's, in user space.
    pub registers: Registers,
}
