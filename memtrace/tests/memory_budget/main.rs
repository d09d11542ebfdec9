//! The memory budget: what a mapping costs, under an allocator that counts; whether the estimates are right; what is given
//! up when processes have too many mappings.
//!
//! `cargo test --release -p memtrace --test memory_budget -- --nocapture` prints the costs of ADR 7.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests panic")]

#[path = "../hostile/counting.rs"]
mod counting;
mod made_up;

use counting::Counting;
use made_up::{Shape, exec, fork, list, mmap, node};
use memtrace::{
    mm::{listing::Mappings, procfs::Procfs},
    model::{budget::Budget, scan::Depth, spaces::Spaces},
    units::Bytes,
};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// `vm.max_map_count` is 65,530 by default.
const MOST: u64 = 65_000;
const SECOND: u64 = 1_000_000_000;

/// One test at a time may count.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn allocated() -> u64 {
    counting::start() as u64
}

fn spaces(budget: Budget) -> Spaces {
    Spaces::new(Default::default(), budget)
}

/// Scans a process as the scanner does, until its mappings are there or it is given up.
fn scan(spaces: &mut Spaces, pid: u32, now: u64, shape: Shape, mappings: u64) {
    spaces.close(pid, made_up::resident());
    for request in spaces.due(now) {
        let scan = made_up::scan(&request, now, shape, mappings);
        spaces.take(scan);
    }
}

fn tick(spaces: &mut Spaces, pids: &[u32], now: u64) {
    for pid in pids {
        let _ = spaces.arenas(*pid, Bytes(0), now);
    }
    spaces.begin_tick(now, 0);
}

/// A process with a scan applied and its owners determined.
fn held(shape: Shape, mappings: u64) -> Spaces {
    let mut spaces = spaces(Budget::new(Bytes(1 << 30)));
    for second in 1..4 {
        scan(&mut spaces, 7, second * SECOND, shape, mappings);
        tick(&mut spaces, &[7], second * SECOND);
    }
    assert!(spaces.arenas(7, Bytes(0), 1).is_some(), "{shape:?}: it was given up");
    spaces
}

fn assert_close(what: &str, truth: u64, estimate: u64) {
    println!("{what}: {truth} bytes, estimated {estimate}");
    assert!(estimate.abs_diff(truth) * 5 <= truth, "{what}: {truth} bytes, estimated {estimate}");
}

#[test]
fn the_estimate_is_within_a_fifth_of_the_truth() {
    let _alone = alone();
    for (shape, mappings) in [
        (Shape::Guards, MOST),
        (Shape::Guards, 3000),
        (Shape::Files, 20_000),
        (Shape::Program, 400),
        (Shape::Program, 60),
    ] {
        let before = allocated();
        let spaces = held(shape, mappings);
        let truth = allocated() - before;
        assert_close(&format!("{shape:?} of {mappings} mappings"), truth, spaces.footprint().1.0);
    }
}

#[test]
fn the_estimate_follows_calls_and_forks() {
    let _alone = alone();
    let before = allocated();
    let mut spaces = held(Shape::Program, 100);
    for at in 0..30_000 {
        // Not in order, so that no neighbours are merged.
        spaces.apply(&mmap(7, 4 * SECOND + at, at * 7919 % 30_000));
    }
    tick(&mut spaces, &[7], 5 * SECOND);
    assert_close("after 30,000 calls", allocated() - before, spaces.footprint().1.0);
    spaces.apply(&fork(7, 8, 6 * SECOND));
    tick(&mut spaces, &[7, 8], 7 * SECOND);
    assert_close("with a forked child", allocated() - before, spaces.footprint().1.0);
}

/// The table of ADR 7.
#[test]
fn what_one_mapping_costs() {
    let _alone = alone();
    let each = |what: &str, bytes: u64| {
        println!("{what:<58} {:>5} bytes a mapping", bytes / MOST);
        bytes / MOST
    };
    let before = allocated();
    let listing = list(Shape::Guards, MOST, Bytes(1 << 30));
    let list_takes = each("the list of a scan", allocated() - before);
    assert!(list_takes <= Mappings::EACH * 5 / 4, "a list may grow by a quarter");
    drop(listing);
    let mut spaces = spaces(Budget::new(Bytes(1 << 30)));
    let before = allocated();
    let request = spaces.expect_alone(7, 1 << 30, SECOND);
    let scan = made_up::scan(&request, SECOND, Shape::Guards, MOST);
    let scanned = allocated();
    spaces.take(scan);
    each("applying it, at most", counting::peak() as u64 - scanned);
    let applied = allocated();
    each("the address space", applied - before);
    tick(&mut spaces, &[7], 2 * SECOND);
    each("determining owners, at most", counting::peak() as u64 - applied);
    let held = allocated();
    let held_takes = each("the address space and the owners of its memory", held - before);
    assert!(held_takes <= 200);
    spaces.close(7, made_up::resident());
    let request = spaces.expect(7, 1 << 30, 3 * SECOND);
    assert!(matches!(request.depth, Depth::Pages { .. }));
    each("a request for its pages", allocated() - held);
    let scan = made_up::scan(&request, 4 * SECOND, Shape::Guards, MOST);
    each("and its result", allocated() - held);
    drop((request, scan));
}

/// However long smaps is, reading it takes what is kept of it, and two buffers.
#[test]
fn a_list_that_does_not_fit_takes_its_room_at_most() {
    let _alone = alone();
    let room = Bytes(1 << 20);
    for shape in [Shape::Guards, Shape::Files] {
        let before = allocated();
        let listing = list(shape, MOST, room);
        let peak = counting::peak() as u64 - before;
        assert_eq!((listing.count, listing.is_over, listing.mappings.is_empty()), (MOST, true, true));
        // This allocator copies a list that grows; the system's moves its pages.
        assert!(peak <= room.0 * 9 / 4 + (512 << 10), "{shape:?} took {peak} bytes");
    }
}

#[test]
fn the_largest_fall_back_to_totals_and_the_rest_is_untouched() {
    let _alone = alone();
    let budget = Budget::DEFAULT;
    let mut spaces = spaces(budget);
    let sizes: Vec<(u32, u64)> =
        (1..=12).map(|pid| (pid, MOST)).chain((20..60).map(|pid| (pid, 200))).collect();
    let pids: Vec<u32> = sizes.iter().map(|(pid, _)| *pid).collect();
    let before = allocated();
    let mut most = 0;
    for second in 1..=30 {
        node(&mut spaces, &sizes, second * SECOND);
        most = most.max(counting::peak() as u64 - before);
        tick(&mut spaces, &pids, second * SECOND);
        most = most.max(counting::peak() as u64 - before);
    }
    println!("12 processes of {MOST} mappings and 40 others: {} MiB at most", most >> 20);
    println!("{} of them fell back to totals", spaces.memory().totals_only);
    let given_up: Vec<u32> = pids.iter().copied().filter(|pid| spaces.totals_only(*pid).is_some()).collect();
    assert!((8..12).contains(&given_up.len()), "{given_up:?}");
    for pid in &pids {
        let is_large = *pid <= 12;
        match spaces.totals_only(*pid) {
            Some(why) => {
                assert!(is_large, "{pid} is small");
                assert_eq!(why.to_string(), format!("totals only: {MOST} mappings, memory budget"));
                assert!(spaces.arenas(*pid, Bytes(0), 1).is_none());
            }
            None => assert!(spaces.arenas(*pid, Bytes(0), 1).is_some(), "{pid} has no rows"),
        }
    }
    let held = allocated() - before;
    assert!(held <= budget.spaces() * 6 / 5, "{held} bytes are held");
    // What is held, one list, and the work on one process.
    assert!(most <= budget.spaces() + budget.scans() + (20 << 20), "{most} bytes at most");
    assert_eq!(spaces.memory().totals_only, given_up.len());
}

#[test]
fn who_was_given_up_returns_when_there_is_room_and_does_not_alternate() {
    let _alone = alone();
    let mut spaces = spaces(Budget::DEFAULT);
    let sizes: Vec<(u32, u64)> = (1..=4).map(|pid| (pid, MOST)).collect();
    let pids = [1, 2, 3, 4];
    for second in 1..=600 {
        node(&mut spaces, &sizes, second * SECOND);
        tick(&mut spaces, &pids, second * SECOND);
    }
    let memory = spaces.memory();
    assert!(
        memory.totals_only >= 1 && memory.given_up == memory.totals_only as u64,
        "who left stayed away: {memory:?}"
    );
    // Those that are shown end, so another returns.
    let (shown, waits): (Vec<u32>, Vec<u32>) =
        pids.iter().partition(|pid| spaces.totals_only(**pid).is_none());
    shown.iter().for_each(|pid| spaces.forget(*pid));
    let left: Vec<(u32, u64)> = sizes.into_iter().filter(|(pid, _)| waits.contains(pid)).collect();
    for second in 601..=700 {
        node(&mut spaces, &left, second * SECOND);
        tick(&mut spaces, &pids, second * SECOND);
    }
    assert!(waits.iter().any(|pid| spaces.arenas(*pid, Bytes(0), 1).is_some()), "nobody returned");
    assert_eq!(spaces.memory().given_up, memory.given_up);
}

/// Each child would be a copy of 65,000 regions.
#[test]
fn children_of_a_large_process_are_not_copied_beyond_the_budget() {
    let _alone = alone();
    let budget = Budget::DEFAULT;
    let before = allocated();
    let mut spaces = spaces(budget);
    for second in 1..5 {
        node(&mut spaces, &[(1, MOST)], second * SECOND);
        tick(&mut spaces, &[1], second * SECOND);
    }
    for child in 2..2000 {
        spaces.apply(&fork(1, child, 6 * SECOND));
    }
    let held = counting::peak() as u64 - before;
    assert!(held <= budget.spaces() + (24 << 20), "{held} bytes");
    assert!(spaces.memory().totals_only > 1900);
    // A child that runs another program is another process.
    assert!(spaces.totals_only(1999).is_some());
    spaces.apply(&exec(1999, 7 * SECOND));
    assert!(spaces.totals_only(1999).is_none());
}

/// Mappings that are made between two ticks count at once.
#[test]
fn a_flood_of_calls_does_not_wait_for_the_tick() {
    let _alone = alone();
    let budget = Budget::new(Bytes(u64::from(Budget::LEAST_MIB) << 20));
    let mut spaces = spaces(budget);
    for second in 1..4 {
        scan(&mut spaces, 7, second * SECOND, Shape::Program, 100);
        tick(&mut spaces, &[7], second * SECOND);
    }
    let before = allocated();
    for at in 0..200_000 {
        spaces.apply(&mmap(7, 4 * SECOND + at, at * 7919 % 200_000));
    }
    assert!(spaces.totals_only(7).is_some_and(|why| why.mappings > 10_000));
    let took = counting::peak() as u64 - before;
    assert!(took <= budget.spaces() * 5 / 4 + (2 << 20), "{took} bytes");
}

#[test]
fn events_that_wait_for_a_scan_have_a_share_of_their_own() {
    let _alone = alone();
    let budget = Budget::DEFAULT;
    let mut spaces = spaces(budget);
    for second in 1..4 {
        scan(&mut spaces, 7, second * SECOND, Shape::Program, 100);
        tick(&mut spaces, &[7], second * SECOND);
    }
    spaces.close(7, made_up::resident());
    assert!(matches!(spaces.expect(7, 1 << 30, 200 * SECOND).depth, Depth::Mappings));
    let before = allocated();
    (0..200_000).for_each(|at| spaces.apply(&made_up::fault(7, 5 * SECOND + at)));
    let took = counting::peak() as u64 - before;
    // A list doubles when it is full.
    assert!(took <= budget.events() * 3 + (1 << 20), "{took} bytes");
}

/// `MEMTRACE_PID=N cargo test ... a_process_that_runs -- --ignored --nocapture`: the same for a process that runs.
#[test]
#[ignore = "prints the cost of a process"]
fn a_process_that_runs() {
    let _alone = alone();
    let pid =
        std::env::var("MEMTRACE_PID").ok().and_then(|text| text.parse().ok()).unwrap_or(std::process::id());
    let procfs = Procfs::new("/proc");
    let mut reader = memtrace::reader::Local::new(procfs);
    let mut spaces = spaces(Budget::new(Bytes(1 << 30)));
    let before = allocated();
    let request = spaces.expect_alone(pid, 1 << 30, SECOND);
    let scan =
        memtrace::reader::scan(&mut reader, request, memtrace::allocator::image::process::Budget::DEFAULT);
    let (count, took) = (scan.mappings.len() as u64, scan.took);
    println!(
        "{count} mappings; read in {took:?}: {} bytes each, {} at most",
        (allocated() - before) / count,
        (counting::peak() as u64 - before) / count
    );
    let reading = allocated();
    spaces.take(scan);
    println!("applied: {} bytes each at most", (counting::peak() as u64 - reading) / count);
    let applied = allocated();
    tick(&mut spaces, &[pid], 2 * SECOND);
    println!("owners: {} bytes each at most", (counting::peak() as u64).saturating_sub(applied) / count);
    println!(
        "held: {} bytes each, {} by estimate",
        (allocated() - before) / count,
        spaces.footprint().1.0 / count
    );
}
