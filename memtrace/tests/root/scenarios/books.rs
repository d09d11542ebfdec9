//! What is asked is of now: allocators' figures after the program has moved and nobody was told, against its own.

use std::fs;

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
    workload::{Workload, program},
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
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:")?.split_whitespace().next());
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
    let place = Place::new();
    let _daemon = place.start(&[]);
    let mut program = Program::eat(&["hollow", "160", "in-use", "wait", "collapse", "wait"]);
    let truth = u64::from(program.number("in-use "));
    program.ready();
    let before = resident(program.pid());
    program.go_on();
    let collapsed = u64::from(program.number("collapsed "));
    program.ready();
    assert!(collapsed > 60, "the kernel makes huge pages: {collapsed}");
    let filled = resident(program.pid()) - before;
    for page in pages(&place, program.pid()) {
        let glibc = holding(&page, "glibc");
        let open = [glibc.free_resident_bytes, glibc.huge_fill_bytes];
        let open: u64 = open.into_iter().flatten().map(|bytes| bytes.0).sum();
        println!("{open} told as free or fill, {filled} more resident; {truth} in use");
        assert!(open.abs_diff(filled) <= filled / 10, "{open} told, {filled}: {glibc:#?}");
        let told = glibc.allocated_bytes.expect("a figure").0;
        assert!(told.abs_diff(truth) <= truth / 50, "{told}, {truth}: {glibc:#?}");
        let is_told = |finding: &Finding| matches!(finding.kind, Kind::Retention | Kind::Coverage);
        assert!(page.findings.iter().any(is_told), "{:#?}", page.findings);
    }
}
