//! System calls that changed an address space, or were refused memory.

use aya_ebpf::{
    macros::{fexit, tracepoint},
    programs::{FExitContext, TracePointContext},
};
use memtrace_common::event::{
    Kind,
    space::{Brk, Madvise, Mmap, Mprotect, Mremap, Munmap, Refused},
};

use crate::{
    emit::{Now, stream, within_budget},
    kernel::regs::{self, Call},
};

/// The programs at a system call's return, in two forms: `fexit` on the entry point (registers and result are its
/// arguments) and the `sys_exit_*` tracepoint (result at offset 16, registers from the task). Both run the same body.
macro_rules! syscall_exit {
    ($($(#[$doc:meta])* $fexit:ident($function:literal), $tracepoint:ident => $body:path $(, $refused:path)?;)*) => {$(
        $(#[$doc])*
        #[fexit(function = $function)]
        pub fn $fexit(ctx: FExitContext) -> u32 {
            let result = ctx.arg::<i64>(1);
            if succeeded(result) {
                within_budget(|now| {
                    if let Some(call) = regs::call(ctx.arg(0)) {
                        $body(now, call, result as u64);
                    }
                });
            }
            $(
                if was_refused(result) {
                    within_budget(|now| {
                        if let Some(call) = regs::call(ctx.arg(0)) {
                            $refused(now, call);
                        }
                    });
                }
            )?
            0
        }

        $(#[$doc])*
        #[tracepoint]
        pub fn $tracepoint(ctx: TracePointContext) -> u32 {
            let result = tracepoint_result(&ctx);
            if succeeded(result) {
                within_budget(|now| {
                    if let Some(call) = regs::current_call() {
                        $body(now, call, result as u64);
                    }
                });
            }
            $(
                if was_refused(result) {
                    within_budget(|now| {
                        if let Some(call) = regs::current_call() {
                            $refused(now, call);
                        }
                    });
                }
            )?
            0
        }
    )*};
}

syscall_exit! {
    /// `mmap(addr, len, prot, flags, fd, offset)`
    fexit_mmap("__x64_sys_mmap"), exit_mmap => mmap, mmap_refused;
    /// `munmap(addr, len)`
    fexit_munmap("__x64_sys_munmap"), exit_munmap => munmap;
    /// `mremap(old_addr, old_len, new_len, flags, new_addr)`
    fexit_mremap("__x64_sys_mremap"), exit_mremap => mremap, mremap_refused;
    /// `brk(request)`
    fexit_brk("__x64_sys_brk"), exit_brk => brk;
    /// `madvise(addr, len, advice)`
    fexit_madvise("__x64_sys_madvise"), exit_madvise => madvise;
    /// `mprotect(addr, len, prot)`: how thread arenas grow, and how reserved ranges are committed.
    fexit_mprotect("__x64_sys_mprotect"), exit_mprotect => mprotect;
}

#[inline(always)]
fn mmap(now: Now, call: Call, addr: u64) {
    let [_, len, prot, flags, fd, offset] = call.arguments;
    stream(Mmap {
        header: now.header(Kind::Mmap),
        addr,
        len,
        offset,
        caller: call.caller(),
        prot: prot as u32,
        flags: flags as u32,
        fd: fd as i32,
        reserved: 0,
    });
}

#[inline(always)]
fn mmap_refused(now: Now, call: Call) {
    let [_, len, ..] = call.arguments;
    refused(now, len);
}

#[inline(always)]
fn mremap_refused(now: Now, call: Call) {
    let [_, old_len, new_len, ..] = call.arguments;
    refused(now, new_len.saturating_sub(old_len));
}

#[inline(always)]
fn munmap(now: Now, call: Call, _result: u64) {
    let [addr, len, ..] = call.arguments;
    stream(Munmap { header: now.header(Kind::Munmap), addr, len });
}

#[inline(always)]
fn mremap(now: Now, call: Call, new_addr: u64) {
    let [old_addr, old_len, new_len, flags, ..] = call.arguments;
    stream(Mremap { header: now.header(Kind::Mremap), old_addr, old_len, new_addr, new_len, flags });
}

#[inline(always)]
fn brk(now: Now, call: Call, brk: u64) {
    let [request, ..] = call.arguments;
    // A refused call returns the old break; `brk(0)` only queries it.
    if brk == request {
        stream(Brk { header: now.header(Kind::Brk), brk });
    } else if request > brk {
        refused(now, request - brk);
    }
}

#[inline(always)]
fn madvise(now: Now, call: Call, _result: u64) {
    let [addr, len, advice, ..] = call.arguments;
    stream(Madvise { header: now.header(Kind::Madvise), addr, len, advice: advice as i32, reserved: 0 });
}

#[inline(always)]
fn mprotect(now: Now, call: Call, _result: u64) {
    let [addr, len, prot, ..] = call.arguments;
    stream(Mprotect { header: now.header(Kind::Mprotect), addr, len, prot });
}

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

/// Reports a refused request. Smaller ones rarely end a program.
#[inline(always)]
fn refused(now: Now, len: u64) {
    const LEAST: u64 = 4096;
    if len >= LEAST {
        stream(Refused { header: now.header(Kind::Refused), len });
    }
}

/// `long ret` of every `syscalls:sys_exit_*` event.
#[inline(always)]
fn tracepoint_result(ctx: &TracePointContext) -> i64 {
    // SAFETY: the event's record is longer than 24 bytes on every kernel; the helper checks the address anyway.
    unsafe { ctx.read_at::<i64>(16) }.unwrap_or(-1)
}
