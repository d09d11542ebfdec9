//! A region: a range of an address space that will get one owner.
//!
//! Plain data. A region is not a VMA: the kernel merges equal neighbouring VMAs, while regions keep the call that made
//! them, so that neighbours of two allocators stay apart.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::units::raw;

/// `PROT_*` bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Prot(pub u8);

impl Prot {
    /// `PROT_NONE`.
    pub const NONE: Self = Self(0);
    /// `PROT_READ`.
    pub const READ: u8 = 1;
    /// `PROT_WRITE`.
    pub const WRITE: u8 = 2;
    /// `PROT_EXEC`.
    pub const EXEC: u8 = 4;

    /// From a system call's argument; ignores other bits (`PROT_GROWSDOWN`, keys).
    pub const fn from_call(prot: u64) -> Self {
        Self((prot & 7) as u8)
    }

    /// Whether it has `PROT_WRITE`.
    pub const fn is_writable(self) -> bool {
        self.0 & Self::WRITE != 0
    }
}

/// What backs a region.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Backing {
    /// Private memory of the process.
    Anonymous,
    /// Shared memory without a name: `/dev/zero (deleted)` in maps.
    SharedAnonymous,
    /// A file, tmpfs and memfd included.
    File(Arc<File>),
    /// A file that is not known yet: mapped since maps was last read.
    UnknownFile,
    /// The main heap, between the start and the program break: `[heap]`.
    Heap,
    /// The main thread's stack: `[stack]`.
    Stack,
    /// A mapping of the kernel: `[vdso]`, `[vvar]`, `[vsyscall]`, uprobes...
    Special(#[serde(with = "raw")] Arc<[u8]>),
}

/// A mapped file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct File {
    /// Device, `major << 32 | minor`.
    pub device: u64,
    /// Inode.
    pub inode: u64,
    /// Path as maps shows it, unescaped, any bytes; may end in ` (deleted)`.
    #[serde(with = "raw")]
    pub path: Vec<u8>,
}

/// The mmap call that a region came from; kept through splits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Born {
    /// The address that the call returned.
    pub addr: u64,
    /// The requested length.
    pub len: u64,
    /// `PROT_*` at birth.
    pub prot: Prot,
    /// `MAP_*`.
    pub flags: u32,
    /// The caller, see `memtrace_common::event::space::Mmap::caller`.
    pub caller: u64,
}

/// VMA flags from smaps (`VmFlags`) that help to distinguish allocators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VmFlags(pub u16);

impl VmFlags {
    /// `nr`: MAP_NORESERVE.
    pub const NO_RESERVE: u16 = 1;
    /// `ac`: counted against the commit limit.
    pub const ACCOUNT: u16 = 1 << 1;
    /// `nh`: MADV_NOHUGEPAGE, or MAP_STACK from 6.7 on.
    pub const NO_HUGE_PAGE: u16 = 1 << 2;
    /// `hg`: MADV_HUGEPAGE.
    pub const HUGE_PAGE: u16 = 1 << 3;
    /// `dc`: MADV_DONTFORK.
    pub const DONT_COPY: u16 = 1 << 4;
    /// `dd`: MADV_DONTDUMP.
    pub const DONT_DUMP: u16 = 1 << 5;
    /// `lo`: locked in memory.
    pub const LOCKED: u16 = 1 << 6;
    /// `ht`: hugetlb pages.
    pub const HUGETLB: u16 = 1 << 7;
    /// `wf`: MADV_WIPEONFORK.
    pub const WIPE_ON_FORK: u16 = 1 << 8;
    /// `gd`: grows down by faults, like the main stack.
    pub const GROWS_DOWN: u16 = 1 << 9;
    /// `pf`: page frames without pages, which the kernel's RSS does not count.
    pub const PFN_MAP: u16 = 1 << 10;

    /// Whether a flag is set.
    pub const fn has(self, flag: u16) -> bool {
        self.0 & flag != 0
    }

    /// The flags with one set or cleared.
    pub const fn with(self, flag: u16, is_set: bool) -> Self {
        Self(if is_set { self.0 | flag } else { self.0 & !flag })
    }
}

/// A range of an address space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// First address, page-aligned.
    pub start: u64,
    /// First address after it.
    pub end: u64,
    /// Its protection.
    pub prot: Prot,
    /// `MAP_SHARED`.
    pub is_shared: bool,
    /// What backs it.
    pub backing: Backing,
    /// Byte offset in the file; 0 without one.
    pub offset: u64,
    /// The call that made it; `None` when it existed before the tracer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub born: Option<Born>,
    /// Flags from smaps, or from the calls since birth; `None` when neither was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm_flags: Option<VmFlags>,
    /// The name set by `PR_SET_VMA_ANON_NAME`: the part after the colon of `[anon:...]` or `[anon_shmem:...]`.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "raw::option")]
    pub name: Option<Arc<[u8]>>,
    /// Made of hugetlb pages, which RSS does not count. False when not known.
    pub is_hugetlb: bool,
}

impl Region {
    /// A private region without further facts.
    pub const fn new(start: u64, end: u64, prot: Prot, backing: Backing) -> Self {
        Self {
            start,
            end,
            prot,
            is_shared: false,
            backing,
            offset: 0,
            born: None,
            vm_flags: None,
            name: None,
            is_hugetlb: false,
        }
    }

    /// Its length in bytes.
    pub const fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// True for an empty range, which no address space contains.
    pub const fn is_empty(&self) -> bool {
        self.end <= self.start
    }
}
