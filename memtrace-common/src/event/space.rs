//! Changes of an address space, from the arguments and results of successful system calls, and refused requests.
//!
//! Sources: mm/mmap.c, mm/mremap.c, mm/madvise.c (arguments and results); include/uapi/asm-generic/mman-common.h
//! (flags and advice). Addresses and lengths are in bytes; the kernel rounds lengths up to pages, and so does the
//! model.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Header, Record};

/// The family's kinds, see [`crate::events`].
#[doc(hidden)]
#[macro_export]
macro_rules! space_events {
    ([$next:path $(, $rest:path)*] $($before:tt)*) => {
        $next! { [$($rest),*] $($before)*
            /// Changes of an address space, and faults in it.
            Space(SpaceEvent) {
                /// Pages were mapped.
                Mmap = 1, $crate::event::space::Mmap;
                /// Pages were unmapped.
                Munmap = 2, $crate::event::space::Munmap;
                /// A mapping was moved or resized.
                Mremap = 3, $crate::event::space::Mremap;
                /// The program break was set.
                Brk = 4, $crate::event::space::Brk;
                /// Advice was given on a range.
                Madvise = 5, $crate::event::space::Madvise;
                /// A sampled page fault.
                Fault = 6, $crate::event::fault::Fault, boxed;
                /// A range's protection was changed.
                Mprotect = 13, $crate::event::space::Mprotect;
                /// A process used up its event budget: its events are not streamed until the next period.
                Throttled = 14, $crate::event::space::Throttled;
                /// A request for memory was refused.
                Refused = 17, $crate::event::space::Refused;
            }
        }
    };
}

/// `mmap(addr, len, prot, flags, fd, offset)` returned `addr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Mmap {
    /// Common start.
    pub header: Header,
    /// The address that was returned.
    pub addr: u64,
    /// The requested length.
    pub len: u64,
    /// Byte offset in the file.
    pub offset: u64,
    /// The word at the user stack pointer. It is the return address into the caller if the system call's wrapper pushes
    /// nothing (glibc), else an arbitrary word of the stack. 0 when it could not be read.
    pub caller: u64,
    /// `PROT_*`.
    pub prot: u32,
    /// `MAP_*`.
    pub flags: u32,
    /// File descriptor, -1 without one.
    pub fd: i32,
    /// Zero.
    pub reserved: u32,
}

impl Record for Mmap {}

/// `munmap(addr, len)` succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Munmap {
    /// Common start.
    pub header: Header,
    /// First address.
    pub addr: u64,
    /// Length as asked for.
    pub len: u64,
}

impl Record for Munmap {}

/// `mremap(old_addr, old_len, new_len, flags, _)` returned `new_addr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Mremap {
    /// Common start.
    pub header: Header,
    /// First address of the old range.
    pub old_addr: u64,
    /// Its length; 0 duplicates a shared mapping.
    pub old_len: u64,
    /// The address that was returned.
    pub new_addr: u64,
    /// The new length.
    pub new_len: u64,
    /// `MREMAP_*`.
    pub flags: u64,
}

impl Record for Mremap {}

/// `brk(request)` returned `result`. A refused request returns the old break, so `result != request` is a failure
/// and is not reported; `brk(0)`, which only asks, is not reported either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Brk {
    /// Common start.
    pub header: Header,
    /// The program break from now on.
    pub brk: u64,
}

impl Record for Brk {}

/// `madvise(addr, len, advice)` succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Madvise {
    /// Common start.
    pub header: Header,
    /// First address.
    pub addr: u64,
    /// Length as asked for.
    pub len: u64,
    /// `MADV_*`.
    pub advice: i32,
    /// Zero.
    pub reserved: u32,
}

impl Record for Madvise {}

/// `mprotect(addr, len, prot)` succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Mprotect {
    /// Common start.
    pub header: Header,
    /// First address.
    pub addr: u64,
    /// Length as asked for.
    pub len: u64,
    /// `PROT_*`.
    pub prot: u64,
}

impl Record for Mprotect {}

/// The kernel refused a request because memory or address space ran out: mmap or mremap failed with `ENOMEM`, or brk
/// did not move the break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Refused {
    /// Common start.
    pub header: Header,
    /// Bytes requested.
    pub len: u64,
}

impl Record for Refused {}

/// The header's process used up its event budget for this period ([`crate::config::BUDGET_PERIOD_SHIFT`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Throttled {
    /// Common start.
    pub header: Header,
}

impl Record for Throttled {}
