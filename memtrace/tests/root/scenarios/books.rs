//! What is asked is of now: allocators' figures after the program has moved and nobody was told, against its own.

use std::{fs, process::Command};

use memtrace::{
    explain::{Explanation, Holding},
    verdict::{Finding, Kind},
};

use crate::{
    fixture::{
        daemon::{Daemon, Place},
        memtrace,
        program::Program,
        said,
    },
    workload::{Workload, folder, program},
};

/// Looks of the daemon, one a second, in which the program rests: what did not move is not read again for long.
const AT_REST: usize = 8;

/// The page of a process, as the daemon gives it and as it is without one.
fn pages(place: &Place, pid: u32) -> [Explanation; 2] {
    let (socket, pid) = (place.socket(), pid.to_string());
    [&["--socket", socket.to_str().unwrap()][..], &["--alone"]].map(|how| {
        let output = memtrace(&[&["explain", &pid, "-o", "json"], how].concat());
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    })
}

/// Its resident memory, as its page tables have it.
fn resident(pid: u32) -> u64 {
    rollup(pid, "Rss:")
}

fn anonymous(pid: u32) -> u64 {
    rollup(pid, "Anonymous:")
}

fn rollup(pid: u32, what: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(what)?.split_whitespace().next());
    line.unwrap().parse::<u64>().unwrap() * 1024
}

fn holding<'e>(page: &'e Explanation, allocator: &str) -> &'e Holding {
    let found = page.allocators.iter().find(|holding| holding.allocator == allocator);
    found.unwrap_or_else(|| panic!("no {allocator} in {page:#?}"))
}

/// Both pages say what the program says of itself: within 2 %, and within the error that they state.
fn say_of(place: &Place, pid: u32, allocator: &str, truth: u64) {
    for page in pages(place, pid) {
        let holding = holding(&page, allocator);
        let told = holding.allocated_bytes.expect("a figure").0;
        let error = holding.error_bytes.map_or(0, |error| error.0);
        println!("{allocator}: {told} told, off by {error} at most; {truth} in use");
        let off = told.abs_diff(truth);
        assert!(off <= truth / 50, "{told} told, {truth} in use: {holding:#?}");
        assert!(off <= error + truth / 1000, "{told} told, off by {error} at most, {truth}: {holding:#?}");
    }
}

/// Its counters are known, and it rests.
fn is_at_rest(daemon: &Daemon<'_>, pid: u32, allocator: &str, least: u64) {
    daemon.row("its counters are read", pid, |row| {
        let counters = row.memory.iter().flat_map(|memory| &memory.counters);
        counters
            .filter(|of| of.allocator == allocator)
            .any(|of| of.allocated_bytes.is_some_and(|of| of.0 >= least))
    });
    daemon.looks(AT_REST);
}

/// A block is freed without a call to the kernel and without a fault.
#[test]
fn what_was_freed_in_silence_is_not_told_as_in_use() {
    let place = Place::new();
    let daemon = place.start(&[]);
    // What threads cache is free, and glibc's own account calls it in use.
    let mut command = program("c-glibc");
    command.env("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0");
    let mut glibc = Workload::driven(command, &["grow 160"]);
    is_at_rest(&daemon, glibc.pid(), "glibc", 100 << 20);
    glibc.say("free 50");
    daemon.looks(AT_REST);
    let truth = glibc.say("in-use").unwrap();
    assert!(truth < 100 << 20, "half of it is free: {truth}");
    say_of(&place, glibc.pid(), "glibc", truth);
}

/// Go's collector frees in silence, too.
#[test]
fn what_gos_collector_has_freed_is_not_told_as_in_use() {
    let place = Place::new();
    let daemon = place.start(&[]);
    let mut go = Workload::driven(program("go"), &["grow 160"]);
    is_at_rest(&daemon, go.pid(), "go", 100 << 20);
    go.say("free 50");
    daemon.looks(AT_REST);
    let truth = go.say("allocated").unwrap();
    say_of(&place, go.pid(), "go", truth);
}

/// Blocks of 10 KB, one of five kept: what cannot be parsed in a sample is not in use for that.
#[test]
fn holes_between_large_blocks_are_free() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let program = Program::eat(&["holes", "150", "in-use", "wait"]);
    let truth = u64::from(program.number("in-use "));
    program.ready();
    assert!((20 << 20..60 << 20).contains(&truth), "one of five: {truth}");
    say_of(&place, program.pid(), "glibc", truth);
}

/// Pages that nobody has written fill the huge pages that the kernel made, between blocks that are free: they are resident,
/// and not in use.
#[test]
fn what_huge_pages_fill_is_not_told_as_in_use() {
    let program = Program::eat(&["hollow", "160", "in-use", "wait", "collapse", "wait"]);
    fill_is_told(program, "glibc");
}

/// The same of jemalloc, which gives each free page back at once here.
#[test]
fn what_huge_pages_fill_in_jemalloc_is_not_told_as_in_use() {
    let at_once = ("MALLOC_CONF", "dirty_decay_ms:0,muzzy_decay_ms:0,narenas:1");
    let steps = ["hollow", "160", "in-use", "wait", "collapse", "wait"];
    fill_is_told(Program::eat_with(&folder().join("libjemalloc.so.2"), at_once, &steps), "jemalloc");
}

fn fill_is_told(mut program: Program, allocator: &str) {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let truth = u64::from(program.number("in-use "));
    program.ready();
    let before = resident(program.pid());
    program.go_on();
    let collapsed = u64::from(program.number("collapsed "));
    program.ready();
    assert!(collapsed > 60, "the kernel makes huge pages: {collapsed}");
    let filled = resident(program.pid()) - before;
    for page in pages(&place, program.pid()) {
        let holding = holding(&page, allocator);
        let open = [holding.free_resident_bytes, holding.huge_fill_bytes];
        let open: u64 = open.into_iter().flatten().map(|bytes| bytes.0).sum();
        println!("{open} told as free or fill, {filled} more resident; {truth} in use");
        assert!(open.abs_diff(filled) <= filled / 10, "{open} told, {filled}: {holding:#?}");
        let told = holding.allocated_bytes.expect("a figure").0;
        assert!(told.abs_diff(truth) <= truth / 50, "{told}, {truth}: {holding:#?}");
        let is_told = |finding: &Finding| matches!(finding.kind, Kind::Retention | Kind::Coverage);
        assert!(page.findings.iter().any(is_told), "{:#?}", page.findings);
    }
}

/// A runtime with an allocator of its own, beside the libc's: its memory is its own, and is not the libc's slack.
#[test]
fn the_memory_of_a_runtime_is_not_the_libcs() {
    let place = Place::new();
    let daemon = place.start(&[]);
    let mut node = Command::new("node");
    node.arg(folder().join("node.js"));
    let mut python = Command::new("python3");
    python.arg(folder().join("python.py"));
    for (command, owner) in [(node, "v8"), (python, "cpython"), (program("rust-jemalloc"), "jemalloc")] {
        let before = Workload::start(command);
        let idle = anonymous(before.pid());
        let mut grown = before;
        grown.say("grow 160");
        let now = anonymous(grown.pid());
        daemon.row("its memory is known", grown.pid(), |row| {
            row.memory.as_ref().is_some_and(|memory| memory.arenas.iter().any(|of| of.allocator == owner))
        });
        for page in pages(&place, grown.pid()) {
            let of = |name: &str| page.allocators.iter().find(|holding| holding.allocator == name);
            let (own, libc) = (holding(&page, owner).resident_bytes.0, of("glibc"));
            println!(
                "{owner}: {own} resident of {now}, {idle} before; glibc {:?}",
                libc.map(|of| of.resident_bytes)
            );
            // Three quarters of the workload are small blocks, which are the runtime's; CPython has large ones from libc.
            assert!(own >= (now - idle) * 6 / 10, "{owner}: {own} of {now}: {page:#?}");
            let known: u64 = page.allocators.iter().map(|of| of.resident_bytes.0).sum();
            assert!(known >= (now - idle) * 98 / 100, "{known} of {now} is owned: {page:#?}");
            for of in &page.allocators {
                let told = of.allocated_bytes.map_or(0, |bytes| bytes.0);
                let error = of.error_bytes.map_or(0, |bytes| bytes.0);
                assert!(
                    told <= of.resident_bytes.0 + of.resident_bytes.0 / 20 + error + (1 << 20),
                    "{of:#?}"
                );
            }
            let is_slack = |finding: &Finding| finding.kind == Kind::Retention;
            assert!(!page.findings.iter().any(is_slack), "all of it is in use: {:#?}", page.findings);
        }
    }
}

/// An address space of many mappings, with a heap in it: no figure contradicts another.
#[test]
fn the_heap_of_a_space_of_many_mappings_is_told() {
    let place = Place::new();
    let daemon = place.start(&[]);
    let program = Program::eat(&["vmas", "40000", "holes", "150", "threads", "24", "in-use", "wait"]);
    let truth = u64::from(program.number("in-use "));
    program.ready();
    is_at_rest(&daemon, program.pid(), "glibc", truth / 2);
    say_of(&place, program.pid(), "glibc", truth);
    for page in pages(&place, program.pid()) {
        let glibc = holding(&page, "glibc");
        assert!(glibc.resident_bytes.0 >= truth, "what is in use is resident: {glibc:#?}");
        let remainder = page.remainder_bytes.expect("a remainder").unsigned_abs();
        assert!(remainder <= page.total_bytes.expect("a total").0 / 50, "{remainder}: {page:#?}");
    }
}
