//! Whose memory it is, of programs that a daemon traces from their start: what `top` shows against smaps.
//!
//! Needs the workloads (`cargo run --manifest-path workloads/Cargo.toml -p build`), which hold, grow and free known
//! amounts on command.

use std::process::Command;

use memtrace::{
    mm::{growth::WalkedBy, procfs::Procfs, smaps},
    snapshot::{ArenaRow, GrowthStack},
    units::Bytes,
};

use crate::{
    fixture::{
        PATIENCE,
        daemon::{Daemon, Place},
        eventually,
    },
    workload::{Workload, folder, program},
};

/// Grows, frees and grows again under the tracer; at each rest the rows must agree with smaps, and `allocator` must
/// own the largest.
fn follow(command: Command, allocator: &str) {
    let place = Place::new();
    let daemon = place.start(&["--scan-share", "50"]);
    let mut workload = Workload::start(command);
    for command in ["grow 48", "free 50", "grow 16", "free 25", "grow 32"] {
        workload.say(command);
        agree(&daemon, workload.pid(), allocator, command);
    }
}

/// Sum of all owners within 1 % of the RSS, nearly all anonymous memory owned, by whom it should be.
fn agree(daemon: &Daemon<'_>, pid: u32, allocator: &str, after: &str) {
    eventually(&format!("after {after} the rows of {pid} add up to what smaps says"), PATIENCE, || {
        let row = daemon.row("the process is followed", pid, |row| row.memory.is_some());
        // Anew each time: a runtime may give memory back long after it was asked to.
        let usage = smaps::read_rollup(&Procfs::new("/proc"), pid).unwrap();
        let (rss, anonymous) = (usage.rss.unwrap().0, usage.anonymous.unwrap().0);
        let memory = row.memory.unwrap();
        if sum(&memory.arenas).abs_diff(rss) > rss / 100 {
            return None;
        }
        assert_eq!(memory.arenas[0].allocator, allocator, "after {after}: {:#?}", memory.arenas);
        let lost: Vec<ArenaRow> =
            memory.arenas.into_iter().filter(|arena| arena.allocator == "unattributed").collect();
        assert!(sum(&lost) <= anonymous / 50, "after {after}: {lost:#?} of {}", Bytes(anonymous));
        Some(())
    });
}

fn sum(arenas: &[ArenaRow]) -> u64 {
    arenas.iter().map(|arena| arena.resident_bytes.0).sum()
}

#[test]
fn glibc_with_eight_threads() {
    follow(program("c-glibc"), "glibc");
}

/// What the daemon says of the allocator's own counters, once the program rests, is what the allocator says.
#[test]
fn glibc_s_own_counters() {
    let place = Place::new();
    let daemon = place.start(&["--scan-share", "50"]);
    let mut workload = Workload::driven(program("c-glibc"), &["grow 48", "free 50"]);
    let said = workload.say("in-use").unwrap();
    eventually(&format!("{} of it are in use", Bytes(said)), PATIENCE, || {
        let row = daemon.row("the process is followed", workload.pid(), |row| row.memory.is_some());
        let memory = row.memory.unwrap();
        let counters = memory.counters.iter().find(|counters| counters.allocator == "glibc")?;
        let caches = counters.arenas.iter().filter(|arena| arena.name == "thread caches");
        let cached: u64 = caches.filter_map(|arena| arena.free_resident_bytes).map(|bytes| bytes.0).sum();
        (counters.allocated_bytes?.0 + cached == said).then_some(())
    });
}

#[test]
fn rust_with_its_default() {
    follow(program("rust-default"), "glibc");
}

#[test]
fn rust_with_jemalloc() {
    follow(program("rust-jemalloc"), "jemalloc");
}

#[test]
fn rust_with_mimalloc() {
    follow(program("rust-mimalloc"), "mimalloc");
}

#[test]
fn cpp_with_tcmalloc() {
    let mut command = program("cpp");
    command.env("LD_PRELOAD", folder().join("libtcmalloc_minimal.so.4"));
    follow(command, "tcmalloc");
}

#[test]
fn static_musl() {
    follow(program("c-musl"), "musl");
}

#[test]
fn go() {
    follow(program("go"), "go");
}

/// The function that grows is in the stack that grows most. None of these programs keeps frame pointers, nor does libc,
/// where malloc itself touches most pages first.
#[test]
fn the_top_growth_stack_names_the_function_that_grows() {
    names_its_function("c-glibc", "grow_block");
}

#[test]
fn the_top_growth_stack_names_the_function_that_grows_in_cpp() {
    names_its_function("cpp", "grow_entry");
}

#[test]
fn the_top_growth_stack_names_the_function_that_grows_in_rust() {
    names_its_function("rust-default", "grow_block");
}

fn names_its_function(name: &str, function: &str) {
    let place = Place::new();
    let daemon = place.start(&["--scan-share", "50"]);
    let mut workload = Workload::start(program(name));
    workload.say("grow 64");
    // Not at once: the first samples are not walked and named all together.
    let row = daemon.row(&format!("{function} in the stack that grows most"), workload.pid(), |row| {
        let Some(top) = row.memory.iter().flat_map(|memory| &memory.growth_stacks).next() else {
            return false;
        };
        names_of(top).iter().any(|symbol| symbol.contains(function))
    });
    let top = row.memory.iter().flat_map(|memory| &memory.growth_stacks).next().unwrap();
    let names = names_of(top);
    println!("{name}: {names:?}");
    assert_eq!(top.walked_by, WalkedBy::Tables, "{names:?}");
    // The C library has one function by several names.
    let begun = ["start", "clone3", "clone"];
    let outermost = names.last().map(|name| name.trim_start_matches('_'));
    assert!(outermost.is_some_and(|outermost| begun.contains(&outermost)), "not to its end: {names:?}");
}

fn names_of(stack: &GrowthStack) -> Vec<&str> {
    stack.frames.iter().filter_map(|frame| frame.symbol.as_deref()).collect()
}
