//! A thousand readings leave no trace in the process, and cost it next to nothing.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use super::{
    busy::Live,
    reading::Known,
    workload::{Workload, folder, program},
};

/// A second of readings and more, of each; of the first so many as the promise is about.
const READINGS: usize = 200;
const THOUSAND: usize = 1000;
/// Pairs of windows, one with readings and one without.
const PAIRS: usize = 12;
const WINDOW: Duration = Duration::from_millis(400);
/// Readings a second in a window that has some: ten times as many as the daemon makes of a process at most.
const PAUSE: Duration = Duration::from_millis(100);

/// Resident memory and page tables, in kB.
fn size(pid: u32) -> [u64; 2] {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    ["VmRSS:", "VmPTE:"].map(|name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    })
}

fn leaves_no_trace(name: &str, command: std::process::Command, steps: &[&str], readings: usize) {
    let mut workload = Workload::driven(command, steps);
    workload.say("hold");
    let known = Known::of(workload.pid());
    let before = size(workload.pid());
    let begun = Instant::now();
    let mut read = 0;
    for _ in 0..readings {
        read += known.read().0.len();
    }
    let each = begun.elapsed() / readings as u32;
    assert_eq!(size(workload.pid()), before, "{name}: kB of RSS and page tables");
    assert!(read >= readings, "{name}: {read} of {readings} readings gave counters");
    println!("harmless {name}: {readings} readings of {each:?}, {before:?} kB before and after");
}

#[test]
fn neither_pages_nor_page_tables_come_of_it() {
    let steps = ["grow 8", "free 60"];
    leaves_no_trace("c-glibc", program("c-glibc"), &steps, THOUSAND);
    for name in [
        "c-glibc-static",
        "c-musl-stripped",
        "rust-jemalloc",
        "rust-jemalloc-stats",
        "rust-mimalloc",
        "rust-mimalloc-v2",
    ] {
        leaves_no_trace(name, program(name), &steps, READINGS);
    }
    leaves_no_trace("libtcmalloc", super::busy::preloaded("libtcmalloc_minimal.so.4"), &steps, READINGS);
    let mut python = std::process::Command::new("python3");
    python.arg(folder().join("python.py"));
    leaves_no_trace("python", python, &steps, READINGS);
}

/// Processor time of all threads, ns.
fn spent(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let times = tasks.map(|task| {
        let text = fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
        text.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    });
    times.sum()
}

/// Blocks a second of its own processor time: what a reader on another CPU takes from it is told by this alone.
fn rate(live: &Live, pid: u32, mut meanwhile: impl FnMut()) -> f64 {
    let (blocks, time, begun) = (live.blocks(), spent(pid), Instant::now());
    while begun.elapsed() < WINDOW {
        meanwhile();
        thread::sleep(PAUSE);
    }
    (live.blocks() - blocks) as f64 / (spent(pid) - time) as f64
}

/// Prints and does not judge: a machine that does other things beside differs by more than this from one window to the
/// next.
fn costs(name: &str, command: std::process::Command) {
    let mut workload = Workload::driven(command, &["grow 4"]);
    let live = Live::of(&mut workload, 0, 30);
    let pid = workload.pid();
    let known = Known::of(pid);
    let mut drops: Vec<f64> = (0..PAIRS)
        .map(|pair| {
            let with = || rate(&live, pid, || drop(known.read()));
            let without = || rate(&live, pid, || {});
            // In turns, so that what drifts is in both.
            let (with, without) = if pair % 2 == 0 {
                (with(), without())
            } else {
                let without = without();
                (with(), without)
            };
            1.0 - with / without
        })
        .collect();
    drops.sort_by(f64::total_cmp);
    println!(
        "throughput {name}: {:.2} % less with ten readings a second, the middle of {PAIRS} pairs from {:.2} to {:.2} %",
        drops[PAIRS / 2] * 100.0,
        drops[0] * 100.0,
        drops[PAIRS - 1] * 100.0
    );
}

#[test]
fn throughput_is_told() {
    costs("c-glibc", super::busy::two("c-glibc"));
    costs("rust-jemalloc", program("rust-jemalloc"));
    costs("rust-mimalloc", program("rust-mimalloc"));
}
