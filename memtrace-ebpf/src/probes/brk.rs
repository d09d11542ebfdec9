//! brk that moved the program break.

use memtrace_common::event::{Kind, vma::Brk};

use super::syscall_exit;
use crate::{
    emit::{Now, stream},
    kernel::regs::Call,
};

syscall_exit! {
    /// `brk(request)`
    fexit_brk("__x64_sys_brk"), exit_brk => brk;
}

#[inline(always)]
fn brk(now: Now, call: Call, brk: u64) {
    let [request, ..] = call.arguments;
    // A refusal returns the break as it was; `brk(0)` only asks for it.
    if brk == request {
        stream(Brk { header: now.header(Kind::Brk), brk });
    } else if request > brk {
        super::refused(now, request - brk);
    }
}
