//! See `memtrace::fuzz::recording`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| memtrace::fuzz::recording(bytes));
