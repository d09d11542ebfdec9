//! See `memtrace::fuzz::proc`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| memtrace::fuzz::proc(bytes));
