//! `mm_struct`: the memory of an address space.

use memtrace_common::{UNKNOWN, config::ABSENT, counter::Counter, event::oom::MmUse};

use super::{Pointer, element, read, read_pointer, read_u64};
use crate::maps::{config, offsets};

/// `MM_*` of include/linux/mm_types_task.h, the same since 4.5.
const FILE: u32 = 0;
const ANON: u32 = 1;
const SWAP: u32 = 2;
const SHMEM: u32 = 3;

/// The address space of a task; null for kernel threads and for tasks that have released theirs.
#[inline(always)]
pub fn of_task(task: Pointer) -> Pointer {
    read_pointer(task, offsets().task_mm, Counter::MmRead)
}

/// Nothing known.
pub const UNKNOWN_USE: MmUse = MmUse {
    file: UNKNOWN,
    anon: UNKNOWN,
    swap: UNKNOWN,
    shmem: UNKNOWN,
    pgtables_bytes: UNKNOWN,
    total_vm: UNKNOWN,
};

/// Writes the RSS counters of `mm`, in pages, as `get_mm_counter` computes them for the kernel log.
///
/// # Safety
/// `out` must be valid for writes of an `MmUse`.
#[inline(always)]
pub unsafe fn fill(mm: Pointer, out: *mut MmUse) {
    // SAFETY: the caller vouches for `out`; every field is written once.
    unsafe {
        (*out).file = rss(mm, FILE);
        (*out).anon = rss(mm, ANON);
        (*out).swap = rss(mm, SWAP);
        (*out).shmem = rss(mm, SHMEM);
        (*out).pgtables_bytes = read_u64(mm, offsets().mm_pgtables_bytes, Counter::MmRead);
        (*out).total_vm = read_u64(mm, offsets().mm_total_vm, Counter::MmRead);
    }
}

/// One RSS counter. `percpu_counter_read_positive`: the count without the CPUs' batches, at least 0.
#[inline(always)]
fn rss(mm: Pointer, member: u32) -> u64 {
    let config = config();
    if config.rss_count == ABSENT {
        return UNKNOWN;
    }
    let offset = element(element(offsets().mm_rss_stat, member, config.rss_stride), 1, config.rss_count);
    match read::<i64>(mm, offset, Counter::MmRead, i64::MIN) {
        i64::MIN => UNKNOWN,
        pages if pages > 0 => pages as u64,
        _ => 0,
    }
}
