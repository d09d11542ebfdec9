//! See `memtrace::fuzz::kernel_log`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| memtrace::fuzz::kernel_log(bytes));
