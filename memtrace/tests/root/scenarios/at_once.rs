//! What is asked of a program that has just begun, on a machine whose processors are full: who owns its memory, its own
//! figures, and that it grew.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use memtrace::explain::Explanation;

use crate::{
    fixture::{daemon::Place, memtrace, program::Program, said},
    workload::{Workload, folder, program},
};

/// Age of a program when it is asked about, at the least.
const AGE: Duration = Duration::from_millis(500);
/// Programs that want all of a processor.
const HOGS: usize = 4;
/// Sizes in MiB: each is drawn once with each program.
const SIZES: [u32; 2] = [30, 90];

/// A program, the allocator of its blocks, and the command to which it answers how much is in them.
fn programs() -> Vec<(Command, &'static str, &'static str)> {
    // What threads cache is free, and glibc's own account calls it in use.
    let mut glibc = program("c-glibc");
    glibc.env("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0");
    let mut preloaded = program("cpp");
    preloaded.env("LD_PRELOAD", folder().join("libjemalloc.so.2"));
    let mut python = Command::new("python3");
    python.arg(folder().join("python.py"));
    vec![
        (glibc, "glibc", "in-use"),
        (preloaded, "jemalloc", "stats.allocated"),
        (program("c-musl"), "musl", "in-use"),
        (program("go"), "go", "allocated"),
        (program("rust-jemalloc-stats"), "jemalloc", "allocated"),
        (program("rust-mimalloc"), "mimalloc", "allocated"),
        (python, "cpython", "in-use"),
    ]
}

fn page(place: &Place, pid: u32) -> Explanation {
    let (socket, pid) = (place.socket(), pid.to_string());
    let output = memtrace(&["explain", &pid, "-o", "json", "--socket", socket.to_str().unwrap()]);
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn is_told(place: &Place, (command, allocator, ask): (Command, &str, &str), mib: u32) {
    let name = format!("{command:?}");
    let begun = Instant::now();
    let mut workload = Workload::driven(command, &[&format!("grow {mib}")]);
    thread::sleep(AGE.saturating_sub(begun.elapsed()));
    let asked = begun.elapsed();
    let page = page(place, workload.pid());
    let took = begun.elapsed() - asked;
    let truth = workload.say(ask).unwrap();
    let holding = page.allocators.iter().find(|holding| holding.allocator == allocator);
    let holding = holding.unwrap_or_else(|| panic!("{name}: no {allocator} in {page:#?}"));
    let told = holding.allocated_bytes.map_or(0, |bytes| bytes.0);
    println!("{name}: {told} told, {truth} in use; asked after {asked:.1?}, took {took:.1?}");
    assert!(told.abs_diff(truth) <= truth / 50, "{name}: {told} told, {truth} in use: {holding:#?}");
    let owned: u64 = page.allocators.iter().map(|holding| holding.resident_bytes.0).sum();
    let all = page.total_bytes.expect("a total").0;
    assert!(owned >= truth && owned <= all, "{name}: {owned} of {all}");
    let growth = page.growth.unwrap_or_else(|| panic!("{name}: it grew a moment ago"));
    let has_grown = growth.bytes_per_second > 0.0 || growth.ended.is_some() || !growth.stacks.is_empty();
    assert!(has_grown, "{name}: {growth:#?}");
}

#[test]
fn a_program_that_has_just_begun_is_told_on_a_full_machine() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let _hogs: Vec<Program> = (0..HOGS).map(|_| Program::shell("while :; do :; done")).collect();
    for mib in SIZES {
        for drawn in programs() {
            is_told(&place, drawn, mib);
        }
    }
}
