//! mmap, munmap and mremap that succeeded.

use memtrace_common::event::{
    Kind,
    vma::{Mmap, Mremap, Munmap},
};

use super::syscall_exit;
use crate::{
    emit::{Now, stream},
    kernel::regs::Call,
};

syscall_exit! {
    /// `mmap(addr, len, prot, flags, fd, offset)`
    fexit_mmap("__x64_sys_mmap"), exit_mmap => mmap, mmap_refused;
    /// `munmap(addr, len)`
    fexit_munmap("__x64_sys_munmap"), exit_munmap => munmap;
    /// `mremap(old_addr, old_len, new_len, flags, new_addr)`
    fexit_mremap("__x64_sys_mremap"), exit_mremap => mremap, mremap_refused;
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
    super::refused(now, len);
}

#[inline(always)]
fn mremap_refused(now: Now, call: Call) {
    let [_, old_len, new_len, ..] = call.arguments;
    super::refused(now, new_len.saturating_sub(old_len));
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
