//! The OOM kill, recorded when the kernel marks the victim, before its memory is freed.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Header, Record, fits, task::Task};

/// The layout of the records in the ring of kills, and the meaning of their fields. Raise it with every change: a daemon
/// reads a ring that an earlier one left in bpffs only if it has this number.
pub const LAYOUT: u32 = 1;
/// Memory cgroups that a record holds, from the victim's own up to the root.
pub const LEVELS: usize = 16;
/// Bytes of a cgroup's directory name that a record holds; a name of 127 bytes fits whole.
pub const NAME_LEN: usize = 128;
/// Frames of each stack that a record holds.
pub const FRAMES: usize = 32;

/// Bits of [`OomKill::flags`].
pub mod flag {
    /// The kernel sent this victim SIGKILL just before the mark, so it killed a task that was not already dying.
    /// Meaningless when the signal hook is not attached.
    pub const SIGNALLED: u32 = 1;
    /// The victim's task could be read. Otherwise only `victim.tid` and the fields of the tracepoint are known.
    pub const VICTIM_READ: u32 = 1 << 1;
    /// The chain has more levels than the record.
    pub const CHAIN_TRUNCATED: u32 = 1 << 2;
    /// From the classic tracepoint: RSS in kB, not pages.
    pub const CLASSIC: u32 = 1 << 3;
}

/// Bits of [`MemcgLevel::flags`].
pub mod level_flag {
    /// `oom_lock` could be read.
    pub const OOM_LOCK_KNOWN: u32 = 1;
    /// `oom_lock` was set.
    pub const OOM_LOCK: u32 = 1 << 1;
    /// `oom_group` was set.
    pub const OOM_GROUP: u32 = 1 << 2;
}

/// The memory of the victim's address space. A number that could not be read is [`crate::UNKNOWN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MmUse {
    /// File pages (`MM_FILEPAGES`), in pages; kB with [`flag::CLASSIC`].
    pub file: u64,
    /// Anonymous pages (`MM_ANONPAGES`), likewise.
    pub anon: u64,
    /// Swap entries (`MM_SWAPENTS`), in pages.
    pub swap: u64,
    /// Shared memory pages (`MM_SHMEMPAGES`), like `anon`.
    pub shmem: u64,
    /// Page tables, in bytes.
    pub pgtables_bytes: u64,
    /// Mapped pages; kB with [`flag::CLASSIC`].
    pub total_vm: u64,
}

/// One memory cgroup on the way from the victim to the root. Counts are pages; [`crate::UNKNOWN`] as always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MemcgLevel {
    /// Cgroup id: the inode number of the directory.
    pub id: u64,
    /// Pages charged, descendants included.
    pub usage: u64,
    /// Limit; `PAGE_COUNTER_MAX` (i64::MAX / page size) means none.
    pub max: u64,
    /// Highest usage so far.
    pub peak: u64,
    /// Charges that failed at the limit, where the kernel counts them (v1, and v2 before 6.16).
    pub fail_count: u64,
    /// `MEMCG_MAX` of the group itself: how often usage reached its limit.
    pub limit_hits: u64,
    /// Swap (v2) or memory plus swap (v1).
    pub swap_usage: u64,
    /// Limit of `swap_usage`.
    pub swap_max: u64,
    /// `MEMCG_OOM` of the group itself: grows on the group that hit its limit and on no other.
    pub oom_local: u64,
    /// `MEMCG_OOM_KILL` of the group itself.
    pub oom_kill_local: u64,
    /// See [`level_flag`].
    pub flags: u32,
    /// Bytes of `name` that are set.
    pub name_len: u32,
    /// Name of the directory, empty for the root.
    pub name: [u8; NAME_LEN],
}

/// The allocation that failed (`struct oom_control`), from a hook on `oom_kill_process`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Request {
    /// Id of the memory cgroup at its limit; 0 for a kill of the whole node; or [`crate::UNKNOWN`].
    pub memcg: u64,
    /// log2 of the number of pages requested, -1 for sysrq.
    pub order: i32,
    /// Allocation flags.
    pub gfp_mask: u32,
    /// `CONSTRAINT_NONE`, `_CPUSET`, `_MEMORY_POLICY`, `_MEMCG` (include/linux/oom.h).
    pub constraint: u32,
    /// 1 when the hook saw the request, 0 when no field above is known.
    pub is_known: u32,
}

/// The kernel marked a victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct OomKill {
    /// Common start; its task is the trigger.
    pub header: Header,
    /// The victim.
    pub victim: Task,
    /// The victim's memory.
    pub mm: MmUse,
    /// The allocation that failed.
    pub request: Request,
    /// The victim's threads, 0 when that could not be read.
    pub threads: u32,
    /// Process id of the victim's parent, 0 when that could not be read.
    pub parent: u32,
    /// The task that allocated memory: the current task, never assumed to be the victim.
    pub trigger: Task,
    /// See [`flag`].
    pub flags: u32,
    /// Levels of `chain` that are set.
    pub chain_len: u32,
    /// Frames of `kernel_stack` that are set.
    pub kernel_stack_len: u32,
    /// Frames of `user_stack` that are set.
    pub user_stack_len: u32,
    /// The victim's memory cgroup, its parent, and so on up to the root.
    pub chain: [MemcgLevel; LEVELS],
    /// The trigger's kernel stack, innermost first. It starts with the frames of the tracer's own program.
    pub kernel_stack: [u64; FRAMES],
    /// The trigger's user stack, innermost first.
    pub user_stack: [u64; FRAMES],
}

impl Record for OomKill {
    fn counts_fit(&self) -> bool {
        fits(self.chain_len, &self.chain)
            && fits(self.kernel_stack_len, &self.kernel_stack)
            && fits(self.user_stack_len, &self.user_stack)
            && self.chain.iter().all(|level| fits(level.name_len, &level.name))
    }
}

#[cfg(test)]
mod tests {
    use core::mem::offset_of;

    use super::{LAYOUT, MemcgLevel, OomKill};

    #[test]
    fn a_changed_record_has_another_layout() {
        let record = [
            offset_of!(OomKill, victim),
            offset_of!(OomKill, mm),
            offset_of!(OomKill, request),
            offset_of!(OomKill, threads),
            offset_of!(OomKill, trigger),
            offset_of!(OomKill, flags),
            offset_of!(OomKill, chain),
            offset_of!(OomKill, kernel_stack),
            offset_of!(OomKill, user_stack),
            size_of::<OomKill>(),
        ];
        let level = [offset_of!(MemcgLevel, flags), offset_of!(MemcgLevel, name), size_of::<MemcgLevel>()];
        let expected = ([24, 88, 136, 160, 168, 232, 248, 3704, 3960, 4216], [80, 88, 216]);
        assert_eq!((LAYOUT, (record, level)), (1, expected), "raise LAYOUT");
    }
}
