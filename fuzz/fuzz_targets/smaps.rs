//! See `memtrace::fuzz::smaps`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| memtrace::fuzz::smaps(bytes));
