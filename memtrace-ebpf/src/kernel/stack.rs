//! Call stacks, kernel and user. User stacks come as frame-pointer walks, which are short where code was built without
//! frame pointers, and as copies of the stack, which the daemon walks.

use aya_ebpf::{
    EbpfContext,
    bindings::BPF_F_USER_STACK,
    helpers::generated::{bpf_get_stack, bpf_probe_read_user},
    programs::PerfEventContext,
};
use memtrace_common::{
    counter::Counter,
    event::{
        Header,
        fault::copied,
        stack::{Head, LEAST_BYTES, MOST_BYTES},
    },
};

use super::regs;
use crate::{
    emit::{self, lost},
    maps::{COPIED_AT, COPY, Copy, config},
};

/// Writes the kernel stack of the running task; returns the number of frames.
///
/// # Safety
/// `out` must be valid for writes of `N` addresses.
#[inline(always)]
pub unsafe fn kernel<const N: usize>(ctx: &impl EbpfContext, out: *mut [u64; N]) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { walk(ctx, out, 0, Counter::KernelStack) }
}

/// Writes the user stack of the running task; returns the number of frames.
///
/// # Safety
/// As for [`kernel`].
#[inline(always)]
pub unsafe fn user<const N: usize>(ctx: &impl EbpfContext, out: *mut [u64; N]) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { walk(ctx, out, u64::from(BPF_F_USER_STACK), Counter::UserStack) }
}

#[inline(always)]
unsafe fn walk<const N: usize>(
    ctx: &impl EbpfContext,
    out: *mut [u64; N],
    flags: u64,
    counter: Counter,
) -> u32 {
    // SAFETY: the helper writes at most the size that it is given, the size of `out`.
    let bytes = unsafe { bpf_get_stack(ctx.as_ptr(), out.cast(), size_of::<[u64; N]>() as u32, flags) };
    if bytes < 0 {
        lost(counter);
        return 0;
    }
    (bytes as u32) / size_of::<u64>() as u32
}

/// Sends a copy of the user stack of the task that faulted, unless one was sent just before on this CPU; see [`copied`].
#[inline(always)]
pub fn copy(ctx: &PerfEventContext, fault: &Header, shift: u32) -> u32 {
    if config().stack_bytes == 0 {
        return copied::NO;
    }
    let (Some(copy), Some(last)) = (COPY.get_ptr_mut(0), COPIED_AT.get_ptr_mut(0)) else { return copied::NO };
    // SAFETY: the pointer is into this CPU's own slot.
    let since = fault.ktime.wrapping_sub(unsafe { *last });
    if since < u64::from(config().stack_interval) << shift {
        return copied::PASSED_OVER;
    }
    let Some(registers) = regs::of_fault(ctx) else { return copied::NO };
    let mut base = registers.sp;
    let mut len = read(copy, base);
    if len < LEAST_BYTES {
        // The page of a large frame, or of a new thread's stack, may not have been touched yet.
        base = (base | u64::from(config().page_size - 1)).wrapping_add(1);
        len = read(copy, base);
    }
    if len < LEAST_BYTES {
        return copied::UNREADABLE;
    }
    // SAFETY: the pointers are into this CPU's own slots; what is sent was written just now.
    let record = unsafe {
        *last = fault.ktime;
        (*copy).head = Head { ktime: fault.ktime, tid: fault.tid, len: len as u32, base, registers };
        core::slice::from_raw_parts(copy.cast::<u8>(), size_of::<Head>() + len)
    };
    if emit::stack(record) { copied::YES } else { copied::NO }
}

/// Reads as many bytes as are configured and readable. Returns their number, 0 when [`LEAST_BYTES`] cannot be read.
#[inline(always)]
fn read(copy: *mut Copy, base: u64) -> usize {
    // Try halves: the helper reads all requested bytes or none.
    let mut len = MOST_BYTES;
    while len >= LEAST_BYTES {
        if len <= config().stack_bytes as usize {
            // SAFETY: the helper checks the address, and writes no more than `len`, for which there is room.
            let error =
                unsafe { bpf_probe_read_user((&raw mut (*copy).bytes).cast(), len as u32, base as *const _) };
            if error == 0 {
                return len;
            }
        }
        len >>= 1;
    }
    0
}
