//! memtrace's kernel programs: read facts, filter, emit. No policy but budgets.
//!
//! Input: the hooks of `probes/` and the read-only global `CONFIG`. Output: records of `memtrace_common::event` in
//! four ring buffers, and counters of all losses.
#![no_std]
#![no_main]

mod budget;
mod emit;
mod kernel;
mod maps;
mod probes;

/// The kernel refuses helpers marked GPL-only to programs under another licence.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
