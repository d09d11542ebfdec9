//! See `memtrace::fuzz::maps`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| memtrace::fuzz::maps(bytes));
