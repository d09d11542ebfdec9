//! See `memtrace::fuzz::elf`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| memtrace::fuzz::elf(bytes));
