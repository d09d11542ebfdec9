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
/// Rounds of windows, one without readings and one of each rate; `MEMTRACE_ROUNDS` for more.
const ROUNDS: usize = 30;
const WINDOW: Duration = Duration::from_millis(300);
/// Ten readings a second: ten times as many as the daemon makes of a process at most. And as many as there can be.
const RATES: [Option<Duration>; 3] = [None, Some(Duration::from_millis(100)), Some(Duration::ZERO)];

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

/// What all threads waited for a processor, ns.
fn waited(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let times = tasks.map(|task| {
        let text = fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
        text.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    });
    times.sum()
}

/// Blocks in the time that its threads had, and readings meanwhile. That time is what they ran and what they were held up
/// by locks, which a reader may hold; what they waited for a processor is not in it: what else runs on the machine is not
/// of the reading.
fn rate(live: &Live, known: &Known, pid: u32, pause: Option<Duration>) -> (f64, usize) {
    let (blocks, wait, begun, mut readings) = (live.blocks(), waited(pid), Instant::now(), 0);
    while begun.elapsed() < WINDOW {
        if pause.is_some() {
            known.read_in_time();
            readings += 1;
        }
        thread::sleep(pause.unwrap_or(WINDOW).min(WINDOW.saturating_sub(begun.elapsed())));
    }
    let all = super::busy::THREADS as f64 * begun.elapsed().as_nanos() as f64;
    ((live.blocks() - blocks) as f64 / (all - (waited(pid) - wait) as f64), readings)
}

/// The middle, and what it is between with 95 % (by ranks, whatever the noise is like).
fn middle(mut drops: Vec<f64>) -> [f64; 3] {
    drops.sort_by(f64::total_cmp);
    let (count, half) = (drops.len() as f64, 0.98 * (drops.len() as f64).sqrt());
    let rank = |at: f64| drops[(at.max(0.0) as usize).min(drops.len() - 1)];
    [rank(count / 2.0), rank(count / 2.0 - half), rank(count / 2.0 + half)]
}

/// Prints and does not judge: on a machine that does other things beside, one window differs from the next by more than
/// what readings take.
fn costs(name: &str, command: std::process::Command) {
    let mut workload = Workload::driven(command, &["grow 4"]);
    let live = Live::of(&mut workload, 0, 30);
    let pid = workload.pid();
    let known = Known::of(pid);
    let rounds = std::env::var("MEMTRACE_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let (mut drops, mut readings) = ([vec![], vec![]], [0; 3]);
    for round in 0..rounds {
        let mut rates = [0.0; 3];
        for turn in 0..RATES.len() {
            // In turns, so that what drifts is in all.
            let at = (round + turn) % RATES.len();
            let (rate, count) = rate(&live, &known, pid, RATES[at]);
            rates[at] = rate;
            readings[at] += count;
        }
        let [without, paced, flat] = rates;
        drops[0].push(1.0 - paced / without);
        drops[1].push(1.0 - flat / without);
    }
    let [[paced, least, most], [flat, flat_least, flat_most]] = drops.map(middle);
    let a_second = |at: usize| readings[at] as f64 / (rounds as f64 * WINDOW.as_secs_f64());
    // In proportion: one a second takes of it what it does of so many.
    let one = flat / a_second(2) * 100.0;
    println!(
        "throughput {name}: {:.2} % less with {:.0} readings a second (95 %: {:.2} to {:.2}), {:.2} % with {:.0} ({:.2} \
         to {:.2}), so {one:.3} % with one; {rounds} rounds",
        paced * 100.0,
        a_second(1),
        least * 100.0,
        most * 100.0,
        flat * 100.0,
        a_second(2),
        flat_least * 100.0,
        flat_most * 100.0,
    );
}

#[test]
fn throughput_is_told() {
    costs("c-glibc", super::busy::two("c-glibc"));
    costs("rust-jemalloc", program("rust-jemalloc"));
    costs("rust-mimalloc", program("rust-mimalloc"));
}
