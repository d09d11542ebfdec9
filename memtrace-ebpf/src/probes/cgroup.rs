//! Cgroups made and removed: containers, pods and units, including short-lived ones.

use aya_ebpf::{
    helpers::generated::bpf_probe_read_kernel_str, macros::btf_tracepoint, programs::BtfTracePointContext,
};
use memtrace_common::{
    counter::Counter,
    event::{
        Kind,
        cgroup::{Cgroup, PATH_LEN},
    },
};

use crate::{
    emit::{header, lost, stream_now_with},
    kernel::{Pointer, memcg},
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
    // Wake the daemon immediately: a container's names can be read from its files only while it runs.
    stream_now_with::<Cgroup>(|out| {
        // SAFETY: `out` is the reserved record; the helper writes within the path's length.
        unsafe {
            (*out).header = header(kind);
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
