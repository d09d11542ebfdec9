//! Copies of user stacks, the input of a walk by unwind tables.
//!
//! A copy is not an event. It belongs to the sampled fault of the same thread and time. Copies have a ring buffer of
//! their own, so they can never displace an event. A record is a [`Head`] and `len` bytes.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The most bytes that are copied.
pub const MOST_BYTES: usize = 16 << 10;
/// The smallest copy that is tried. Near a stack's end, or where a page of it is not resident, only a few bytes can be
/// read. A power of two, like every size that is tried.
pub const LEAST_BYTES: usize = 64;

/// The instruction pointer, the stack pointer and the callee-saved registers of x86-64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Registers {
    /// Address of the next instruction (rip).
    pub ip: u64,
    /// The stack pointer (rsp).
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
    /// Address of the first byte: the stack pointer, or the start of the next page if the stack pointer's page was
    /// never touched.
    pub base: u64,
    /// The thread's registers in user space.
    pub registers: Registers,
}
