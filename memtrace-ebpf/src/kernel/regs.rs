//! `pt_regs`: the arguments of a system call, read when it returns.
//!
//! At exit the arguments still stand in the task's saved registers, so one hook per call is enough
//! (arch/x86/entry/entry_64.S saves them, only rax is overwritten).

use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_probe_read_kernel, bpf_task_pt_regs};
use memtrace_common::{config::regs_form, counter::Counter};

use super::{Pointer, read_pointer, task};
use crate::{
    emit::lost,
    maps::{config, offsets},
};

/// Registers of `struct pt_regs` up to `di` (arch/x86/include/asm/ptrace.h): r15 r14 r13 r12 bp bx r11 r10 r9 r8
/// ax cx dx si di.
const REGISTERS: usize = 15;
/// `sizeof(struct pt_regs)`.
const PT_REGS_BYTES: usize = 168;

/// The six arguments of a system call.
#[derive(Clone, Copy)]
pub struct Arguments(pub [u64; 6]);

/// The arguments saved at `regs`.
#[inline(always)]
pub fn arguments(regs: Pointer) -> Option<Arguments> {
    let mut saved = [0_u64; REGISTERS];
    // SAFETY: the helper checks the address and writes no more than the size of `saved`.
    let error =
        unsafe { bpf_probe_read_kernel((&raw mut saved).cast(), size_of_val(&saved) as u32, regs.cast()) };
    if error != 0 {
        lost(Counter::RegsRead);
        return None;
    }
    let [_, _, _, _, _, _, _, r10, r9, r8, _, _, dx, si, di] = saved;
    Some(Arguments([di, si, dx, r10, r8, r9]))
}

/// The arguments of the call that the running task is returning from.
#[inline(always)]
pub fn current_arguments() -> Option<Arguments> {
    if config().regs_form == regs_form::HELPER {
        // SAFETY: the first helper's result is never null and the second takes just that.
        let regs = unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) };
        return arguments(regs as Pointer);
    }
    let stack = read_pointer(task::current(), offsets().task_stack, Counter::RegsRead);
    arguments(stack.wrapping_add(config().kernel_stack_bytes as usize - PT_REGS_BYTES))
}
