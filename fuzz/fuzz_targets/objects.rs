//! See `memtrace::fuzz::objects`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| memtrace::fuzz::objects(bytes));
