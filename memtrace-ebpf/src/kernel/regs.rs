//! `pt_regs`: the arguments of a system call, read when it returns, and a thread's registers in user space.
//!
//! At exit the task's saved registers still hold the arguments, so one hook per call is enough
//! (arch/x86/entry/entry_64.S saves them; only rax is overwritten).

use aya_ebpf::{
    helpers::generated::{
        bpf_get_current_task_btf, bpf_probe_read_kernel, bpf_probe_read_user, bpf_task_pt_regs,
    },
    programs::PerfEventContext,
};
use memtrace_common::{
    config::{ABSENT, regs_form},
    counter::Counter,
    event::stack::Registers,
};

use super::{Pointer, read_pointer, task};
use crate::{
    emit::lost,
    maps::{config, offsets},
};

/// Registers of `struct pt_regs` up to `sp` (arch/x86/include/asm/ptrace.h): r15 r14 r13 r12 bp bx r11 r10 r9 r8
/// ax cx dx si di orig_ax ip cs flags sp.
const REGISTERS: usize = 20;
/// `sizeof(struct pt_regs)`.
const PT_REGS_BYTES: usize = 168;
/// Both bits of the code segment are set in user mode (`user_mode`).
const USER_MODE: u64 = 3;

/// The arguments of a system call.
#[derive(Clone, Copy)]
pub struct Call {
    /// Its six arguments.
    pub arguments: [u64; 6],
    /// The user stack pointer.
    pub stack_pointer: u64,
}

impl Call {
    /// The word at the user stack pointer, 0 when it cannot be read.
    #[inline(always)]
    pub fn caller(&self) -> u64 {
        let mut word = 0_u64;
        // SAFETY: the helper checks the address and writes no more than the size of `word`.
        let error = unsafe {
            bpf_probe_read_user(
                (&raw mut word).cast(),
                size_of_val(&word) as u32,
                self.stack_pointer as *const _,
            )
        };
        if error != 0 {
            lost(Counter::CallerRead);
        }
        word
    }
}

/// The call whose registers are saved at `regs`.
#[inline(always)]
pub fn call(regs: Pointer) -> Option<Call> {
    let [_, _, _, _, _, _, _, r10, r9, r8, _, _, dx, si, di, _, _, _, _, sp] = saved(regs)?;
    Some(Call { arguments: [di, si, dx, r10, r8, r9], stack_pointer: sp })
}

#[inline(always)]
fn saved(regs: Pointer) -> Option<[u64; REGISTERS]> {
    let mut saved = [0_u64; REGISTERS];
    // SAFETY: the helper checks the address and writes no more than the size of `saved`.
    let error =
        unsafe { bpf_probe_read_kernel((&raw mut saved).cast(), size_of_val(&saved) as u32, regs.cast()) };
    if error != 0 {
        lost(Counter::RegsRead);
        return None;
    }
    Some(saved)
}

/// The call that the running task is returning from.
#[inline(always)]
pub fn current_call() -> Option<Call> {
    call(current())
}

/// Where the running task's registers in user space are saved.
#[inline(always)]
fn current() -> Pointer {
    if config().regs_form == regs_form::HELPER {
        // SAFETY: the first helper's result is never null, as the second requires.
        let regs = unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) };
        return regs as Pointer;
    }
    let stack = read_pointer(task::current(), offsets().task_stack, Counter::RegsRead);
    stack.wrapping_add(config().kernel_stack_bytes as usize - PT_REGS_BYTES)
}

/// The user-space registers of a task that faults: those of the fault, or those saved at entry when the kernel faulted
/// during a system call, which include all callee-saved registers. `None` when they cannot be found.
#[inline(always)]
pub fn of_fault(ctx: &PerfEventContext) -> Option<Registers> {
    // SAFETY: the context is the kernel's own `bpf_perf_event_data`, whose fields the verifier knows.
    let regs = unsafe { &raw const (*ctx.ctx).regs };
    // SAFETY: as above.
    let cs = unsafe { (*regs).cs };
    if cs & USER_MODE == USER_MODE {
        // SAFETY: as above.
        return Some(unsafe {
            Registers {
                ip: (*regs).rip,
                sp: (*regs).rsp,
                bp: (*regs).rbp,
                bx: (*regs).rbx,
                r12: (*regs).r12,
                r13: (*regs).r13,
                r14: (*regs).r14,
                r15: (*regs).r15,
            }
        });
    }
    if config().regs_form == regs_form::STACK_TOP && offsets().task_stack == ABSENT {
        return None;
    }
    let [r15, r14, r13, r12, bp, bx, _, _, _, _, _, _, _, _, _, _, ip, _, _, sp] = saved(current())?;
    Some(Registers { ip, sp, bp, bx, r12, r13, r14, r15 })
}
