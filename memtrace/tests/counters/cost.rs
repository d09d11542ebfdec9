//! What a reading of a large process costs, and how right it is when only samples can be taken.

use std::process::Command;

use memtrace::allocator::counters::process::Budget;

use super::{
    reading::{Known, bytes},
    workload::{Workload, folder, program},
};

/// Reads it so often within the budget that the daemon gives; what is in use, and how far that may be off.
fn cost(name: &str, allocator: &str, workload: &Workload) -> (u64, u64) {
    let known = Known::of(workload.pid());
    let mut times: Vec<_> = (0..9).map(|_| known.read_within(Budget::DEFAULT).2).collect();
    times.sort_unstable();
    let counters = known.counters_in_time(allocator).unwrap_or_else(|absent| panic!("{name}: {absent}"));
    let (read, bound) = (bytes(counters.allocated_bytes), bytes(counters.error_bytes));
    println!(
        "cost {name}: {} MiB in use, bound {} KiB, {:?} a reading, {:?} at most",
        read >> 20,
        bound >> 10,
        times[4],
        times[8]
    );
    assert!(times[4] <= Budget::DEFAULT.time, "{name}: {:?}", times[4]);
    (read, bound)
}

/// A gibibyte, fragmented, in one arena and in eight.
#[test]
fn a_gibibyte_of_glibc_is_read_in_fifty_milliseconds() {
    for arenas in ["1", "8"] {
        let mut command = program("c-glibc");
        command.env("MALLOC_ARENA_MAX", arenas);
        let mut workload = Workload::driven(command, &["grow 1360", "free 30"]);
        let said = workload.say("in-use").unwrap();
        let (read, _) = cost(&format!("c-glibc, {arenas} arenas"), "glibc", &workload);
        let off = read.abs_diff(said);
        assert!(off <= said / 20, "{arenas} arenas: off by {off} of {said}");
    }
}

#[test]
fn a_gibibyte_of_others_is_read_in_fifty_milliseconds() {
    for (name, allocator) in [
        ("c-musl", "musl"),
        ("rust-jemalloc", "jemalloc"),
        ("rust-mimalloc", "mimalloc"),
        ("rust-mimalloc-v2", "mimalloc"),
        ("go", "go"),
    ] {
        cost(name, allocator, &Workload::driven(program(name), &["grow 1360", "free 25"]));
    }
    let tcmalloc = super::busy::preloaded("libtcmalloc_minimal.so.4");
    cost("libtcmalloc", "tcmalloc", &Workload::driven(tcmalloc, &["grow 1360", "free 25"]));
    let mut python = Command::new("python3");
    python.arg(folder().join("python.py"));
    cost("python", "cpython", &Workload::driven(python, &["grow 1024"]));
}
