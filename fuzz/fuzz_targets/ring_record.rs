//! See `memtrace::fuzz::ring_record`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| memtrace::fuzz::ring_record(bytes));
