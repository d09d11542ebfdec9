//! Cgroups made and removed: containers, pods and units, including short-lived ones.

use aya_ebpf::{
    helpers::generated::bpf_probe_read_kernel_str, macros::btf_tracepoint, programs::BtfTracePointContext,
};
use memtrace_common::{
    budget::{CGROUPS_OF_NODE, CGROUPS_OF_ONE, WAKEUPS},
    counter::Counter,
    event::{
        Kind,
        cgroup::{Cgroup, PATH_LEN},
    },
};

use crate::{
    budget,
    emit::{Now, lost, stream_urgent_with},
    kernel::{Pointer, memcg, task},
    maps::{Node, Pair},
};

/// `cgroup_mkdir(struct cgroup *, const char *path)`
#[btf_tracepoint(function = "cgroup_mkdir")]
pub fn cgroup_mkdir(ctx: BtfTracePointContext) -> u32 {
    send(&ctx, Kind::CgroupMkdir)
}

/// `cgroup_rmdir(struct cgroup *, const char *path)`
#[btf_tracepoint(function = "cgroup_rmdir")]
pub fn cgroup_rmdir(ctx: BtfTracePointContext) -> u32 {
    send(&ctx, Kind::CgroupRmdir)
}

#[inline(always)]
fn send(ctx: &BtfTracePointContext, kind: Kind) -> u32 {
    let (cgroup, path): (Pointer, Pointer) = (ctx.arg(0), ctx.arg(1));
    let is_made = matches!(kind, Kind::CgroupMkdir);
    let now = Now::get();
    // Whoever may make cgroups may do so in a loop. What is over the budget is found by reading the hierarchy.
    let pair = Pair { from: budget::whose(task::current()), to: 0, what: kind as u64 };
    let of_node = if is_made { Node::Mkdir } else { Node::Rmdir };
    if !budget::of_pair(&pair, &CGROUPS_OF_ONE, now.ktime())
        || !budget::of_node(of_node as u32, &CGROUPS_OF_NODE, now.ktime())
    {
        lost(Counter::CgroupsThrottled);
        return 0;
    }
    // Immediately, because a container's names can be read from its files only while it runs.
    let is_urgent = is_made && budget::of_node(Node::CgroupWakeups as u32, &WAKEUPS, now.ktime());
    stream_urgent_with::<Cgroup>(is_urgent, |out| {
        // SAFETY: `out` is the reserved record; the helper writes within the path's length.
        unsafe {
            (*out).header = now.header(kind);
            (*out).id = memcg::cgroup_id(cgroup);
            (*out).hierarchy = memcg::hierarchy(cgroup);
            (*out).path_len = 0;
            clear(&raw mut (*out).path);
            let written =
                bpf_probe_read_kernel_str((&raw mut (*out).path).cast(), PATH_LEN as u32, path.cast());
            if written > 0 {
                (*out).path_len = (written - 1) as u32;
            } else {
                lost(Counter::MemcgRead);
            }
        }
    });
    0
}

/// Zeroes the path word by word, because the ring buffer does not clear a reserved record.
///
/// # Safety
/// `path` must be valid for writes, and aligned to 8 bytes.
#[inline(always)]
unsafe fn clear(path: *mut [u8; PATH_LEN]) {
    const WORDS: usize = PATH_LEN / size_of::<u64>();
    const { assert!(core::mem::offset_of!(Cgroup, path).is_multiple_of(8)) };
    let words = path.cast::<u64>();
    for index in 0..WORDS {
        // SAFETY: index < WORDS, and every bit pattern is a byte string. Volatile, or the compiler makes it a call.
        unsafe { words.add(index).write_volatile(0) };
    }
}
