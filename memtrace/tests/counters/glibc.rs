//! glibc, dynamic, static and stripped, against `mallinfo2`.

use super::{
    reading::{Known, at_rest, bytes},
    workload::{Workload, program},
};
use memtrace::allocator::counters::Counters;

/// What threads cache is free, and `mallinfo2` does not know it.
pub fn cached(counters: &Counters) -> u64 {
    let caches = counters.arenas.iter().filter(|arena| arena.name == "thread caches");
    caches.map(|arena| bytes(arena.free_resident_bytes)).sum()
}

/// At rest, what is read is what the program says, to the byte.
fn is_exact(name: &str, command: std::process::Command, steps: &[&str]) {
    let mut workload = Workload::start(command);
    for step in steps {
        workload.say(step);
        let (said, (read, absent, took)) = at_rest(&mut workload, &["in-use"], |pid| Known::of(pid).read());
        let said = said[0];
        let counters = read.iter().find(|counters| counters.allocator == "glibc");
        let counters = counters.unwrap_or_else(|| panic!("{name}: {absent:?}"));
        println!("{name} {step}: {said} said, {counters:?}, {took:?}");
        assert_eq!(bytes(counters.allocated_bytes) + cached(counters), said, "{name} after {step}");
        assert_eq!(bytes(counters.error_bytes), 0, "{name} after {step}");
    }
}

const STEPS: [&str; 7] = ["hold", "grow 96", "free 60", "main 8", "grow 32", "big 64", "trim"];

#[test]
fn at_rest_it_is_exact() {
    for name in ["c-glibc", "c-glibc-stripped", "c-glibc-static"] {
        is_exact(name, program(name), &STEPS);
    }
}

/// As cargo builds it by default.
#[test]
fn at_rest_rusts_default_is_exact() {
    let steps = ["hold", "grow 40", "free 60", "grow 16"];
    for name in ["rust-default", "rust-default-stripped"] {
        is_exact(name, program(name), &steps);
    }
}

#[test]
fn at_rest_it_is_exact_with_one_arena() {
    let mut command = program("c-glibc");
    command.arg("20").env("MALLOC_ARENA_MAX", "1");
    is_exact("c-glibc with one arena", command, &STEPS);
}
