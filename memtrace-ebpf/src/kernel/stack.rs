//! Call stacks, kernel and user. User stacks are frame-pointer walks: short where code was built without them.

use aya_ebpf::{EbpfContext, bindings::BPF_F_USER_STACK, helpers::generated::bpf_get_stack};
use memtrace_common::counter::Counter;

use crate::emit::lost;

/// Writes the kernel stack of the running task; returns the frames.
///
/// # Safety
/// `out` must be valid for writes of `N` addresses.
#[inline(always)]
pub unsafe fn kernel<const N: usize>(ctx: &impl EbpfContext, out: *mut [u64; N]) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { walk(ctx, out, 0, Counter::KernelStack) }
}

/// Writes the user stack of the running task; returns the frames.
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
    // SAFETY: the helper writes at most the size that it is given, which is that of `out`.
    let bytes = unsafe { bpf_get_stack(ctx.as_ptr(), out.cast(), size_of::<[u64; N]>() as u32, flags) };
    if bytes < 0 {
        lost(counter);
        return 0;
    }
    (bytes as u32) / size_of::<u64>() as u32
}
