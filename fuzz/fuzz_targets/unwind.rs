//! See `memtrace::fuzz::unwind`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| memtrace::fuzz::unwind(bytes));
