//! A thousand readings leave no trace in the process, and cost it next to nothing.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use rustix::{
    process::Pid,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

use super::{
    busy::Live,
    reading::Known,
    workload::{Workload, folder, program},
};

/// As many as the promise is about.
const READINGS: usize = 1000;
/// Rounds of windows, one without readings and one of each rate; `MEMTRACE_ROUNDS=40` for a figure to rely on.
const ROUNDS: usize = 3;
const WINDOW: Duration = Duration::from_millis(200);
/// Ten times as many as the daemon makes of a process at most.
const A_SECOND: u32 = 10;
/// So many, and as many as there can be.
const RATES: [Option<Duration>; 3] =
    [None, Some(Duration::from_millis(1000 / A_SECOND as u64)), Some(Duration::ZERO)];

/// Resident memory and page tables, in kB.
fn size(pid: u32) -> [u64; 2] {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    ["VmRSS:", "VmPTE:"].map(|name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    })
}

fn leaves_no_trace(name: &str, command: std::process::Command, steps: &[&str]) {
    let mut workload = Workload::driven(command, steps);
    workload.say("hold");
    let known = Known::of(workload.pid());
    let before = size(workload.pid());
    let begun = Instant::now();
    let mut read = 0;
    for _ in 0..READINGS {
        read += known.read().0.len();
    }
    let each = begun.elapsed() / READINGS as u32;
    // Less may be there: the kernel takes pages of files when it needs memory.
    let after = size(workload.pid());
    let is_no_more = after.iter().zip(before).all(|(after, before)| *after <= before);
    assert!(is_no_more, "{name}: {after:?} kB of RSS and page tables, {before:?} before");
    assert!(read >= READINGS, "{name}: {read} of {READINGS} readings gave counters");
    println!("harmless {name}: {READINGS} readings of {each:?}, {before:?} kB before and after");
}

#[test]
fn neither_pages_nor_page_tables_come_of_it() {
    let steps = ["grow 8", "free 60"];
    leaves_no_trace("c-glibc", program("c-glibc"), &steps);
    for name in [
        "c-glibc-static",
        "c-musl-stripped",
        "rust-jemalloc",
        "rust-jemalloc-stats",
        "rust-mimalloc",
        "rust-mimalloc-v2",
    ] {
        leaves_no_trace(name, program(name), &steps);
    }
    leaves_no_trace("libtcmalloc", super::busy::preloaded("libtcmalloc_minimal.so.4"), &steps);
    let mut python = std::process::Command::new("python3");
    python.arg(folder().join("python.py"));
    leaves_no_trace("python", python, &steps);
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

/// This thread on one processor, and a program on another, so that what they take from each other is by the memory that
/// both look at and not by the time. Undone when dropped.
struct Apart {
    was: CpuSet,
}

impl Apart {
    fn from(pid: u32) -> Self {
        let was = sched_getaffinity(None).unwrap();
        let cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| was.is_set(*cpu)).take(2).collect();
        // On a machine with one processor they share it, and the figure is about that too.
        let [its, ours] = cpus[..] else { return Self { was } };
        for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
            let tid = task.unwrap().file_name().to_str().unwrap().parse().unwrap();
            sched_setaffinity(Pid::from_raw(tid), &only(its)).unwrap();
        }
        sched_setaffinity(None, &only(ours)).unwrap();
        Self { was }
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        sched_setaffinity(None, &self.was).unwrap();
    }
}

fn only(cpu: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(cpu);
    set
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
    super::reading::until("it allocates while it is read", || {
        if pause.is_some() {
            known.read_in_time();
        }
        live.blocks() > blocks
    });
    let all = super::busy::THREADS as f64 * begun.elapsed().as_nanos() as f64;
    ((live.blocks() - blocks) as f64 / (all - (waited(pid) - wait) as f64).max(1.0), readings)
}

/// The middle, and what it is between with 95 % (by ranks, whatever the noise is like).
fn middle(mut drops: Vec<f64>) -> [f64; 3] {
    drops.sort_by(f64::total_cmp);
    let (count, half) = (drops.len() as f64, 0.98 * (drops.len() as f64).sqrt());
    let rank = |at: f64| drops[(at.max(0.0) as usize).min(drops.len() - 1)];
    [rank(count / 2.0), rank(count / 2.0 - half), rank(count / 2.0 + half)]
}

/// Flat out is some hundred readings a second: what these take is large enough to be told from what one window differs
/// from the next by, and ten a second take of it what they are of so many. It is told and not judged, for it is the
/// machine's as much as the reader's; what must hold is that the program goes on while it is read.
fn what_it_costs_is_told(name: &str, command: std::process::Command) {
    let mut workload = Workload::driven(command, &["grow 4"]);
    let live = Live::of(&mut workload, 0, 30);
    let pid = workload.pid();
    let known = Known::of(pid);
    let least = std::env::var("MEMTRACE_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let (mut drops, mut readings, mut rounds) = ([vec![], vec![]], [0; 3], 0);
    let apart = Apart::from(pid);
    while rounds < least {
        let mut rates = [0.0; 3];
        for turn in 0..RATES.len() {
            // In turns, so that what drifts is in all.
            let at = (rounds + turn) % RATES.len();
            let (rate, count) = rate(&live, &known, pid, RATES[at]);
            rates[at] = rate;
            readings[at] += count;
        }
        let [without, paced, flat] = rates;
        drops[0].push(1.0 - paced / without);
        drops[1].push(1.0 - flat / without);
        rounds += 1;
    }
    drop(apart);
    let [[paced, paced_least, paced_most], [flat, flat_least, flat_most]] = drops.map(middle);
    let a_second = |at: usize| readings[at] as f64 / (rounds as f64 * WINDOW.as_secs_f64());
    let share = f64::from(A_SECOND) / a_second(2);
    let percent = |part: f64| part * 100.0;
    println!(
        "throughput {name}: {:.2} % less with {:.0} readings a second (95 %: {:.2} to {:.2}); {:.2} % with {:.0} ({:.2} to \
         {:.2}), so {:.3} % with {A_SECOND} (up to {:.3}); {rounds} rounds, {} readings",
        percent(paced),
        a_second(1),
        percent(paced_least),
        percent(paced_most),
        percent(flat),
        a_second(2),
        percent(flat_least),
        percent(flat_most),
        percent(flat * share),
        percent(flat_most * share),
        readings[1] + readings[2],
    );
    assert!(readings[1] > 0 && readings[2] > 0, "{name}: {readings:?}");
}

#[test]
fn a_program_goes_on_while_it_is_read() {
    what_it_costs_is_told("c-glibc", super::busy::two("c-glibc"));
    what_it_costs_is_told("c-musl", super::busy::two("c-musl"));
    for name in ["rust-jemalloc", "rust-mimalloc", "go"] {
        what_it_costs_is_told(name, program(name));
    }
    what_it_costs_is_told("libtcmalloc", super::busy::preloaded("libtcmalloc_minimal.so.4"));
}
