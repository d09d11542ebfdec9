//! Sampled page faults: one perf software event per period, with address, user stack, and for some a copy of the stack.

use aya_ebpf::{macros::perf_event, programs::PerfEventContext};
use memtrace_common::{
    config::{FAULT_THINNING_MOST, FAULT_WINDOW_MOST, FAULT_WINDOW_SHIFT},
    event::{
        Kind,
        fault::{FRAMES, Fault},
    },
};

use crate::{
    emit::{Now, is_own_process, stream_with},
    kernel::stack,
    maps::{THINNING, held_back},
};

/// `PERF_COUNT_SW_PAGE_FAULTS` on each CPU.
#[perf_event]
pub fn page_fault(ctx: PerfEventContext) -> u32 {
    if is_own_process() {
        return 0;
    }
    let now = Now::get();
    let held_back = held_back().1;
    let shift = thin(now.ktime(), held_back);
    if shift == PASSED_OVER {
        return 0;
    }
    // SAFETY: the context is the kernel's own `bpf_perf_event_data`, whose fields the verifier knows.
    let (addr, period) = unsafe { ((*ctx.ctx).addr, (*ctx.ctx).sample_period) };
    let header = now.header(Kind::Fault);
    // The copy is sent before the fault, so the daemon has it when it reads the fault.
    let copied = stack::copy(&ctx, &header, held_back);
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

/// Means that this sample is not sent; larger than any shift.
const PASSED_OVER: u32 = u32::MAX;

/// The shift of the sampling rate if this sample is to be sent (it stands for 2^shift samples), else [`PASSED_OVER`].
///
/// A process that faults all the time costs as much as one with about 1,000 samples a second. At a low rate every
/// sample is sent; at a high rate each sample stands for more faults. The count is independent of the shift, so no
/// process and no address is preferred.
#[inline(always)]
fn thin(ktime: u64, held_back: u32) -> u32 {
    let Some(state) = THINNING.get_ptr_mut(0) else { return held_back };
    // SAFETY: the pointer is into this CPU's own slot.
    let state = unsafe { &mut *state };
    let window = ktime >> FAULT_WINDOW_SHIFT;
    let over = window.wrapping_sub(state.window);
    if over > 0 {
        // One step finer for each window with few or no samples.
        let is_calm = state.sent < FAULT_WINDOW_MOST / 2;
        let calm = (over - 1).saturating_add(u64::from(is_calm)).min(u64::from(FAULT_THINNING_MOST)) as u32;
        state.shift = state.shift.saturating_sub(calm);
        (state.window, state.sent) = (window, 0);
    }
    let shift = (state.shift + held_back) & 31;
    state.count = state.count.wrapping_add(1);
    if state.count & ((1 << shift) - 1) != 0 {
        return PASSED_OVER;
    }
    state.sent += 1;
    if state.sent >= FAULT_WINDOW_MOST && state.shift < FAULT_THINNING_MOST {
        // Continue as if the whole window had used this shift.
        state.shift += 1;
        state.sent = FAULT_WINDOW_MOST / 2;
    }
    shift
}
