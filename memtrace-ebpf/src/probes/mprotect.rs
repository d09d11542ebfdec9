//! mprotect that succeeded: how thread arenas grow, and how reserved ranges are committed.

use memtrace_common::event::{Kind, vma::Mprotect};

use super::syscall_exit;
use crate::{
    emit::{Now, stream},
    kernel::regs::Call,
};

syscall_exit! {
    /// `mprotect(addr, len, prot)`
    fexit_mprotect("__x64_sys_mprotect"), exit_mprotect => mprotect;
}

#[inline(always)]
fn mprotect(now: Now, call: Call, _result: u64) {
    let [addr, len, prot, ..] = call.arguments;
    stream(Mprotect { header: now.header(Kind::Mprotect), addr, len, prot });
}
