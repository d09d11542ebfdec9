//! See `memtrace::fuzz::counters`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| memtrace::fuzz::counters(bytes));
