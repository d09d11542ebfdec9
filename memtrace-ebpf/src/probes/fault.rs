//! Sampled page faults: the perf software event, one of every period, with address, user stack, and for
//! some a copy of it.

use aya_ebpf::{macros::perf_event, programs::PerfEventContext};
use memtrace_common::event::{
    Kind,
    fault::{FRAMES, Fault},
};

use crate::{
    emit::{header, is_own_process, stream_with},
    kernel::stack,
    maps::{FAULTS, held_back},
};

/// `PERF_COUNT_SW_PAGE_FAULTS` on each CPU.
#[perf_event]
pub fn page_fault(ctx: PerfEventContext) -> u32 {
    if is_own_process() {
        return 0;
    }
    let shift = held_back().1;
    if shift > 0
        && let Some(count) = FAULTS.get_ptr_mut(0)
    {
        // SAFETY: the pointer is into this CPU's own slot.
        let count = unsafe {
            *count += 1;
            *count
        };
        if count & ((1 << shift) - 1) != 0 {
            return 0;
        }
    }
    // SAFETY: the context is the kernel's own `bpf_perf_event_data`, whose fields the verifier knows.
    let (addr, period) = unsafe { ((*ctx.ctx).addr, (*ctx.ctx).sample_period) };
    let header = header(Kind::Fault);
    // Before the fault: who reads the fault finds its copy.
    let copied = stack::copy(&ctx, &header, shift);
    stream_with::<Fault>(|out| {
        // SAFETY: `out` is the reserved record.
        unsafe {
            (*out).header = header;
            (*out).addr = addr;
            (*out).period = period << shift;
            (*out).copied = copied;
            (*out).stack = [0; FRAMES];
            (*out).stack_len = stack::user(&ctx, &raw mut (*out).stack);
        }
    });
    0
}
