//! What a reading of a large process costs, and how right it is when only samples can be taken.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use memtrace::{
    allocator::{counters::Counters, image::process::Budget},
    clock::thread_cpu,
};

use super::{
    reading::{Known, bytes},
    workload::{Workload, folder, program},
};

const READINGS: usize = 50;
/// What a reading is to take of the processor.
const PROMISED: Duration = Duration::from_millis(50);

/// What readings within the budget that the daemon gives came to.
struct Cost {
    read: Vec<Counters>,
    refused: Vec<String>,
}

impl Cost {
    fn of(name: &str, allocator: &str, workload: &Workload) -> Self {
        let known = Known::of(workload.pid());
        let (mut read, mut refused, mut times, mut waited) = (vec![], vec![], vec![], vec![]);
        for _ in 0..READINGS {
            let (begun, time) = (thread_cpu(), Instant::now());
            let counters = known.counters_in_time(allocator);
            times.push(thread_cpu() - begun);
            waited.push(time.elapsed());
            match counters {
                Ok(counters) => read.push(counters),
                Err(absent) => refused.push(absent.reason),
            }
        }
        times.sort_unstable();
        waited.sort_unstable();
        let said = read.last().map_or_else(
            || refused.last().cloned().unwrap_or_default(),
            |counters| {
                let bound = counters.error_bytes.map(|bytes| bytes.0 >> 10);
                format!("{} MiB in use, bound {bound:?} KiB", bytes(counters.allocated_bytes) >> 20)
            },
        );
        println!(
            "cost {name}: {} of {READINGS} read, {said}; processor time {:?} in the middle, {:?} at most; by the clock \
             {:?} in the middle",
            read.len(),
            times[READINGS / 2],
            times[READINGS - 1],
            waited[READINGS / 2],
        );
        Self { read, refused }
    }

    /// Each has figures, and they are within the bound that they state: it is at rest, so nothing moves, and the bound of a
    /// sample fails in fewer than one of 10,000 cases. How long that takes, and how far off it is, is told: it hangs on how
    /// fast memory is copied, which on a virtual machine varies tenfold with when it was used last.
    fn holds(&self, name: &str, said: u64) {
        let Self { read, refused } = self;
        assert!(refused.is_empty(), "{name}: {} of {READINGS} read: {refused:?}", read.len());
        let off = |counters: &Counters| in_use(counters).abs_diff(said);
        let mut offs: Vec<u64> = read.iter().map(off).collect();
        offs.sort_unstable();
        println!(
            "cost {name}: of {} MiB off by {} KiB in the middle, {} at most; promised {PROMISED:?}",
            said >> 20,
            offs[offs.len() / 2] >> 10,
            offs[offs.len() - 1] >> 10
        );
        read.iter().for_each(|counters| is_bounded(name, counters, said));
    }
}

/// As the program counts: what threads cache is in use for `mallinfo2`.
fn in_use(counters: &Counters) -> u64 {
    let cached = if counters.allocator == "glibc" { super::glibc::cached(counters) } else { 0 };
    bytes(counters.allocated_bytes) + cached
}

fn is_bounded(name: &str, counters: &Counters, said: u64) {
    let (read, bound) = (in_use(counters), bytes(counters.error_bytes));
    assert!(read.abs_diff(said) <= bound, "{name}: {read} read, {said} said, bound {bound}: {counters:?}");
}

/// The same process as if the machine were slower and slower: as long as there are figures, they are within their bound, and
/// there are some on a machine ten times as slow as any.
fn is_bounded_at_any_speed(name: &str, allocator: &str, workload: &Workload, said: u64) {
    let known = Known::of(workload.pid());
    let mut last = None;
    for micros in [25_000, 10_000, 5_000, 2_500, 1_000, 500, 250, 100, 50, 10, 0] {
        let budget = Budget { bytes: 64 << 20, time: Duration::from_micros(micros) };
        match known.counters_within(allocator, budget) {
            Ok(counters) => {
                is_bounded(name, &counters, said);
                let [read, bound] =
                    [counters.allocated_bytes, counters.error_bytes].map(|figure| bytes(figure) >> 20);
                println!("{name} in {micros} us: {read} MiB, bound {bound} MiB, {}", counters.grade);
                last = Some(micros);
            }
            Err(absent) => println!("{name} in {micros} us: {absent}"),
        }
    }
    assert!(last.is_some(), "{name}: figures only with all of the time");
}

/// A gibibyte, fragmented, in one arena and in eight.
#[test]
fn a_gibibyte_of_glibc_is_read_in_fifty_milliseconds() {
    for arenas in ["1", "8"] {
        let mut command = program("c-glibc");
        command.env("MALLOC_ARENA_MAX", arenas);
        let mut workload = Workload::driven(command, &["grow 1360", "free 30"]);
        let said = workload.say("in-use").unwrap();
        let name = format!("c-glibc, {arenas} arenas");
        Cost::of(&name, "glibc", &workload).holds(&name, said);
        is_bounded_at_any_speed(&name, "glibc", &workload, said);
    }
}

/// Where there is time for all records it is exact.
#[test]
fn a_gibibyte_of_musl_is_read_in_fifty_milliseconds() {
    let mut workload = Workload::driven(program("c-musl"), &["grow 1360", "free 25"]);
    let said = workload.say("in-use").unwrap();
    let cost = Cost::of("c-musl", "musl", &workload);
    // What the program has besides its blocks: buffers of stdio, and threads' own.
    let rest = bytes(Known::of(workload.pid()).counters("musl").unwrap().allocated_bytes) - said;
    assert!(rest <= 16 << 10, "{rest} besides its blocks");
    cost.holds("c-musl", said + rest);
    is_bounded_at_any_speed("c-musl", "musl", &workload, said + rest);
}

/// Told, with the reason where the budget does not do.
#[test]
fn what_a_gibibyte_of_others_costs_is_told() {
    for (name, allocator) in [
        ("rust-jemalloc", "jemalloc"),
        ("rust-mimalloc", "mimalloc"),
        ("rust-mimalloc-v2", "mimalloc"),
        ("go", "go"),
    ] {
        Cost::of(name, allocator, &Workload::driven(program(name), &["grow 1360", "free 25"]));
    }
    let tcmalloc = super::busy::preloaded("libtcmalloc_minimal.so.4");
    Cost::of("libtcmalloc", "tcmalloc", &Workload::driven(tcmalloc, &["grow 1360", "free 25"]));
}

/// Some pools stand for the others.
#[test]
fn a_gibibyte_of_cpython_is_read_in_fifty_milliseconds() {
    let mut python = Command::new("python3");
    python.arg(folder().join("python.py"));
    let mut workload = Workload::driven(python, &["grow 1024", "free 25"]);
    let said = workload.say("in-use").unwrap();
    Cost::of("python", "cpython", &workload).holds("python", said);
    is_bounded_at_any_speed("python", "cpython", &workload, said);
}
