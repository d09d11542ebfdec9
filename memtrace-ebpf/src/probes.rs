//! One file for each family of hooks: read the fact, filter, emit.

mod brk;
mod cgroup;
mod fault;
mod madvise;
mod mmap;
mod mprotect;
mod oom;
mod signal;
mod task;

use crate::emit::Now;

/// The programs at a system call's return, in both forms: `fexit` on the entry point (registers and result are its
/// arguments) and the `sys_exit_*` tracepoint (result at 16, registers from the task). Both run the same body.
macro_rules! syscall_exit {
    ($($(#[$doc:meta])* $fexit:ident($function:literal), $tracepoint:ident => $body:path $(, $refused:path)?;)*) => {$(
        $(#[$doc])*
        #[aya_ebpf::macros::fexit(function = $function)]
        pub fn $fexit(ctx: aya_ebpf::programs::FExitContext) -> u32 {
            let result = ctx.arg::<i64>(1);
            if $crate::probes::succeeded(result) {
                $crate::emit::within_budget(|now| {
                    if let Some(call) = $crate::kernel::regs::call(ctx.arg(0)) {
                        $body(now, call, result as u64);
                    }
                });
            }
            $(
                if $crate::probes::was_refused(result) {
                    $crate::emit::within_budget(|now| {
                        if let Some(call) = $crate::kernel::regs::call(ctx.arg(0)) {
                            $refused(now, call);
                        }
                    });
                }
            )?
            0
        }

        $(#[$doc])*
        #[aya_ebpf::macros::tracepoint]
        pub fn $tracepoint(ctx: aya_ebpf::programs::TracePointContext) -> u32 {
            let result = $crate::probes::tracepoint_result(&ctx);
            if $crate::probes::succeeded(result) {
                $crate::emit::within_budget(|now| {
                    if let Some(call) = $crate::kernel::regs::current_call() {
                        $body(now, call, result as u64);
                    }
                });
            }
            $(
                if $crate::probes::was_refused(result) {
                    $crate::emit::within_budget(|now| {
                        if let Some(call) = $crate::kernel::regs::current_call() {
                            $refused(now, call);
                        }
                    });
                }
            )?
            0
        }
    )*};
}
pub(crate) use syscall_exit;

/// The largest error number a system call returns negated (`MAX_ERRNO`, include/linux/err.h).
const MAX_ERRNO: i64 = 4095;

/// True for a call that did not fail.
#[inline(always)]
fn succeeded(result: i64) -> bool {
    !(-MAX_ERRNO..0).contains(&result)
}

/// True for a call that failed with `ENOMEM`.
#[inline(always)]
fn was_refused(result: i64) -> bool {
    const ENOMEM: i64 = 12;
    result == -ENOMEM
}

/// Reports a refusal; smaller ones do not end a program.
#[inline(always)]
fn refused(now: Now, len: u64) {
    const LEAST: u64 = 4096;
    if len >= LEAST {
        crate::emit::stream(memtrace_common::event::vma::Refused {
            header: now.header(memtrace_common::event::Kind::Refused),
            len,
        });
    }
}

/// `long ret` of every `syscalls:sys_exit_*` event.
#[inline(always)]
fn tracepoint_result(ctx: &aya_ebpf::programs::TracePointContext) -> i64 {
    // SAFETY: the event's record is longer than 24 bytes on every kernel; the helper checks the address anyway.
    unsafe { ctx.read_at::<i64>(16) }.unwrap_or(-1)
}
