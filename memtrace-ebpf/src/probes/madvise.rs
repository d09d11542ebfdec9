//! madvise that succeeded.

use memtrace_common::event::{Kind, vma::Madvise};

use super::syscall_exit;
use crate::{
    emit::{Now, stream},
    kernel::regs::Call,
};

syscall_exit! {
    /// `madvise(addr, len, advice)`
    fexit_madvise("__x64_sys_madvise"), exit_madvise => madvise;
}

#[inline(always)]
fn madvise(now: Now, call: Call, _result: u64) {
    let [addr, len, advice, ..] = call.arguments;
    stream(Madvise { header: now.header(Kind::Madvise), addr, len, advice: advice as i32, reserved: 0 });
}
