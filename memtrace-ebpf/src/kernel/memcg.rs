//! `mem_cgroup`: limits and usage from a group up to the root.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use memtrace_common::{
    UNKNOWN,
    counter::Counter,
    event::oom::{LEVELS, MemcgLevel, NAME_LEN, level_flag},
};

use super::{Pointer, element, read, read_pointer, read_u64};
use crate::{
    emit::lost,
    maps::{config, offsets},
};

/// The memory cgroup of a task. `mem_cgroup.css` is at offset 0, so the subsystem state *is* the group.
#[inline(always)]
pub fn of_task(task: Pointer) -> Pointer {
    let css_set = read_pointer(task, offsets().task_cgroups, Counter::MemcgRead);
    let offset = element(offsets().css_set_subsys, config().memory_subsys, size_of::<usize>() as u32);
    read_pointer(css_set, offset, Counter::MemcgRead)
}

/// The cgroup id in the hierarchy that has the memory controller. Also correct on v1, where `bpf_get_current_cgroup_id`
/// returns 1 for every task.
#[inline(always)]
pub fn id(memcg: Pointer) -> u64 {
    read_u64(directory(memcg), offsets().kernfs_id, Counter::MemcgRead)
}

/// The id of a cgroup.
#[inline(always)]
pub fn cgroup_id(cgroup: Pointer) -> u64 {
    let directory = read_pointer(cgroup, offsets().cgroup_kn, Counter::MemcgRead);
    read_u64(directory, offsets().kernfs_id, Counter::MemcgRead)
}

/// The id of a cgroup's hierarchy, or `u32::MAX`.
#[inline(always)]
pub fn hierarchy(cgroup: Pointer) -> u32 {
    let root = read_pointer(cgroup, offsets().cgroup_root, Counter::MemcgRead);
    read(root, offsets().cgroup_root_hierarchy, Counter::MemcgRead, u32::MAX)
}

#[inline(always)]
fn directory(memcg: Pointer) -> Pointer {
    let cgroup = read_pointer(memcg, offsets().css_cgroup, Counter::MemcgRead);
    read_pointer(cgroup, offsets().cgroup_kn, Counter::MemcgRead)
}

/// Writes `memcg` and its ancestors to `out`, innermost first. Returns how many, and whether there were more.
///
/// # Safety
/// `out` must be valid for writes of `LEVELS` levels.
#[inline(always)]
pub unsafe fn fill_chain(memcg: Pointer, out: *mut MemcgLevel) -> (u32, bool) {
    let mut next = memcg;
    let mut count = 0;
    for index in 0..LEVELS {
        if next.is_null() {
            break;
        }
        // SAFETY: index < LEVELS, and the caller vouches for `out`.
        unsafe { fill_level(next, out.add(index)) };
        next = read_pointer(next, offsets().css_parent, Counter::MemcgRead);
        count += 1;
    }
    (count, !next.is_null())
}

/// # Safety
/// `out` must be valid for writes of a `MemcgLevel` that was zeroed.
#[inline(always)]
unsafe fn fill_level(memcg: Pointer, out: *mut MemcgLevel) {
    let fields = offsets();
    let number = |offset| read_u64(memcg, offset, Counter::MemcgRead);
    let events = |event| number(element(fields.memcg_events_local, event, size_of::<usize>() as u32));
    let mut flags = 0;
    // `bool` fields: 0 or 1, so that 2 stands for "could not be read".
    let lock = read::<u8>(memcg, fields.memcg_oom_lock, Counter::MemcgRead, 2);
    if lock != 2 {
        flags |= level_flag::OOM_LOCK_KNOWN;
    }
    if lock == 1 {
        flags |= level_flag::OOM_LOCK;
    }
    if read::<u8>(memcg, fields.memcg_oom_group, Counter::MemcgRead, 2) == 1 {
        flags |= level_flag::OOM_GROUP;
    }
    // SAFETY: the caller vouches for `out`; the name is written by the helper within its length.
    unsafe {
        (*out).usage = number(fields.memcg_usage);
        (*out).max = number(fields.memcg_max);
        (*out).peak = number(fields.memcg_watermark);
        // The field is absent on kernels that always count.
        let tracked = read::<u8>(memcg, fields.memcg_track_failcnt, Counter::MemcgRead, 1);
        (*out).fail_count = if tracked == 0 { UNKNOWN } else { number(fields.memcg_failcnt) };
        (*out).limit_hits = events(config().memcg_event_max);
        (*out).swap_usage = number(fields.memcg_swap_usage);
        (*out).swap_max = number(fields.memcg_swap_max);
        (*out).oom_local = events(config().memcg_event_oom);
        (*out).oom_kill_local = events(config().memcg_event_oom_kill);
        (*out).flags = flags;
        (*out).name_len = 0;
        let directory = directory(memcg);
        (*out).id = read_u64(directory, fields.kernfs_id, Counter::MemcgRead);
        let name = read_pointer(directory, fields.kernfs_name, Counter::MemcgRead);
        if name.is_null() {
            return;
        }
        let written = bpf_probe_read_kernel_str((&raw mut (*out).name).cast(), NAME_LEN as u32, name.cast());
        if written > 0 {
            (*out).name_len = (written - 1) as u32;
        } else {
            lost(Counter::MemcgRead);
        }
    }
}
