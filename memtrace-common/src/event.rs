//! What the kernel programs report, one plain record for each kind.
//!
//! Every record starts with a [`Header`]; its `kind` says which structure the bytes are, and their length must be
//! exactly that structure's. Nothing here is padded, so no byte of kernel memory leaks and every bit pattern is a
//! value.

pub mod cgroup;
pub mod fault;
pub mod oom;
pub mod stack;
pub mod task;
pub mod vma;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $value:literal, $record:ty;)*) => {
        /// Which record follows a [`Header`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Kind { $($(#[$doc])* $variant = $value,)* }

        impl Kind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The kind with this number, or `None` for a number that means nothing here.
            pub const fn from_u16(value: u16) -> Option<Self> {
                match value { $($value => Some(Self::$variant),)* _ => None }
            }

            /// The exact length of the record, in bytes.
            pub const fn record_size(self) -> usize {
                match self { $(Self::$variant => size_of::<$record>(),)* }
            }
        }
    };
}

kinds! {
    /// Pages were mapped.
    Mmap = 1, vma::Mmap;
    /// Pages were unmapped.
    Munmap = 2, vma::Munmap;
    /// A mapping was moved or resized.
    Mremap = 3, vma::Mremap;
    /// The program break was set.
    Brk = 4, vma::Brk;
    /// Advice was given on a range.
    Madvise = 5, vma::Madvise;
    /// A page fault, one of every sampling period.
    Fault = 6, fault::Fault;
    /// A process replaced its program.
    Exec = 7, task::Exec;
    /// A process was made.
    Fork = 8, task::Fork;
    /// The last thread of a process ended.
    Exit = 9, task::Exit;
    /// A fatal signal was generated.
    Signal = 10, task::Signal;
    /// The kernel marked a process as OOM victim.
    OomKill = 11, oom::OomKill;
    /// A range's protection was changed.
    Mprotect = 13, vma::Mprotect;
    /// A process used up its event budget: what it does until the next period is not streamed.
    Throttled = 14, vma::Throttled;
    /// A cgroup was made.
    CgroupMkdir = 15, cgroup::Cgroup;
    /// A cgroup was removed.
    CgroupRmdir = 16, cgroup::Cgroup;
    /// Memory was asked for and refused.
    Refused = 17, vma::Refused;
    /// Not an event: the OOM record made for the tracer itself, to check the offsets against /proc.
    SelfCheck = 12, oom::OomKill;
}

/// The start of every record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// Nanoseconds since boot, suspended time included (`CLOCK_BOOTTIME`).
    pub ktime: u64,
    /// Process id of the task that ran, in the initial pid namespace.
    pub tgid: u32,
    /// Its thread id.
    pub tid: u32,
    /// See [`Kind`].
    pub kind: u16,
    /// The CPU it ran on.
    pub cpu: u16,
    /// Zero, so that the structure has no padding.
    pub reserved: u32,
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn each_kind_is_found_by_its_number() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_u16(*kind as u16), Some(*kind));
        }
        assert_eq!(Kind::from_u16(0), None);
        assert_eq!(Kind::from_u16(u16::MAX), None);
    }

    #[test]
    fn records_keep_the_rings_eight_byte_alignment() {
        for kind in Kind::ALL {
            assert_eq!(kind.record_size() % 8, 0, "{kind:?}");
        }
    }
}
