//! Programs that allocate flat out in two threads while they are read: how often that works, how far it is off, and
//! whether the bound that is given holds.

use std::{fs::File, os::unix::fs::FileExt as _, process::Command};

use memtrace::{
    allocator::{
        counters::{Absent, Counters},
        jvm::counters::Hotspot,
    },
    units::{Bytes, Grade},
};

use super::{
    chance::least,
    published::Published,
    reading::{Known, bytes},
    workload::{Workload, folder, program},
};

/// Threads that churn.
pub const THREADS: u64 = 2;
const READINGS: usize = 50;
/// What half of the readings may be off by, and what the truth may move by meanwhile where it is to tell that.
const TELLING: f64 = 0.02;
/// What a reading does at least so often: succeed, be within [`TELLING`], be within its bound.
const SUCCEEDS: f64 = 0.9;
const IS_CLOSE: f64 = 0.5;
const IS_BOUNDED: f64 = 0.95;
/// What a thread's cache of jemalloc can hold of the blocks that churn, all of its lists full.
const JEMALLOC_CACHE: u64 = 648 << 10;

/// What is true at a moment: at the least, and at the most.
#[derive(Clone, Copy)]
pub struct Truth {
    low: u64,
    high: u64,
}

impl Truth {
    pub fn exactly(figure: u64) -> Self {
        Self { low: figure, high: figure }
    }

    /// What is true between two moments.
    pub fn until(self, later: Self) -> Self {
        Self { low: self.low.min(later.low), high: self.high.max(later.high) }
    }

    fn middle(self) -> u64 {
        u64::midpoint(self.low, self.high)
    }

    /// How far a figure is from all of it.
    fn off(self, figure: u64) -> u64 {
        figure.saturating_sub(self.high).max(self.low.saturating_sub(figure))
    }
}

/// The words of the threads: live bytes and blocks so far, of each.
pub struct Live {
    memory: File,
    at: u64,
    base: u64,
}

impl Live {
    /// Of a workload that churns from now on; `base` is what is in use besides. Once all of it is live.
    pub fn of(workload: &mut Workload, base: u64, mib: u64) -> Self {
        let at = workload.say(&format!("churn {mib}")).unwrap();
        let memory = File::open(format!("/proc/{}/mem", workload.pid())).unwrap();
        let live = Self { memory, at, base };
        // The slots are filled at random: after four times as many blocks, but for one in fifty.
        super::reading::until("all of it is live", || live.blocks() > 4 * (mib << 20) / 1056);
        live
    }

    fn words(&self, first: u64) -> u64 {
        let word = |at: u64| {
            let mut word = [0; 8];
            self.memory.read_exact_at(&mut word, self.at + 8 * at).unwrap();
            u64::from_le_bytes(word)
        };
        (0..THREADS).map(|thread| word(2 * thread + first)).sum()
    }

    /// Bytes in use.
    pub fn bytes(&self) -> u64 {
        self.base + self.words(0)
    }

    /// Blocks that were allocated so far.
    pub fn blocks(&self) -> u64 {
        self.words(1)
    }
}

/// What readings came to.
#[derive(Default)]
struct Outcome {
    /// How many readings there were.
    of: usize,
    /// Parts of the truth, of those that are no samples.
    errors: Vec<f64>,
    /// How much the truth itself moved during a reading, as a part of it.
    widths: Vec<f64>,
    bounds: Vec<u64>,
    /// How far off each is, and its bound.
    off: Vec<(u64, u64)>,
    /// How much the truth changed meanwhile, where it is known before and after and not in between.
    steps: Vec<u64>,
    refused: Vec<String>,
}

impl Outcome {
    /// Reads so often. The figure is held against the first truth; the bound has to reach the second.
    fn of(
        pid: u32,
        allocator: &str,
        figure: fn(&Counters) -> u64,
        mut truth: impl FnMut() -> (Truth, Truth),
    ) -> Self {
        let mut outcome = Self { of: READINGS, ..Self::default() };
        for _ in 0..READINGS {
            let known = Known::of(pid);
            let before = truth();
            let read = known.counters_in_time(allocator);
            let after = truth();
            let said = before.0.until(after.0);
            outcome.steps.push(said.high - said.low);
            outcome.add(read, figure, said, before.1.until(after.1));
        }
        outcome
    }

    /// A reading, held against what was said; and what its bound has to reach.
    fn add(
        &mut self,
        read: Result<Counters, Absent>,
        figure: fn(&Counters) -> u64,
        said: Truth,
        bounded: Truth,
    ) {
        let counters = match read {
            Ok(counters) => counters,
            Err(absent) => return self.refused.push(absent.reason),
        };
        let Some(Bytes(bound)) = counters.error_bytes else {
            return self.refused.push("no bound".to_owned());
        };
        let read = figure(&counters);
        let width = (said.high - said.low) as f64 / said.middle() as f64;
        // Where the truth moved by more, it does not tell of an error. One that had no time is as close as its bound says.
        if width <= TELLING && counters.grade != Grade::Sampled {
            self.errors.push(said.off(read) as f64 / said.middle() as f64);
        }
        self.widths.push(width);
        self.bounds.push(bound);
        self.off.push((bounded.off(read), bound));
    }

    /// As many as can be expected succeed, are within 2 %, and within the bound that they give: fewer come in less than one
    /// of 10,000 runs ([`least`]). What the truth moved by meanwhile must not hide an error.
    fn holds(self, name: &str) {
        let Self { of, mut errors, mut widths, mut bounds, off, mut steps, refused } = self;
        errors.sort_by(f64::total_cmp);
        widths.sort_by(f64::total_cmp);
        bounds.sort_unstable();
        steps.sort_unstable();
        let (middle, told) = (off.len() / 2, errors.len());
        let error = |at: usize| errors.get(at).map_or(f64::NAN, |error| error * 100.0);
        // It goes up and down: between the two it was elsewhere too, by about as much as they differ.
        let wander = steps.get(steps.len() * 19 / 20).copied().unwrap_or_default();
        let beyond: Vec<&(u64, u64)> = off.iter().filter(|(off, bound)| *off > bound + wander).collect();
        let within = off.len() - beyond.len();
        let outside = off.iter().filter(|(off, _)| *off > 0).count();
        println!(
            "busy {name}: {} of {of} read, median error {:.2} %, worst {:.2} %, {outside} outside of what was true \
             meanwhile, {within} within the bound of {} KiB; the truth moved by {:.2} %, up to {} KiB, and told the error of {told}; {beyond:?} {refused:?}",
            off.len(),
            error(told / 2),
            error(told.saturating_sub(1)),
            bounds.get(middle).map_or(0, |bound| bound >> 10),
            widths.get(middle).map_or(f64::NAN, |width| width * 100.0),
            wander >> 10,
        );
        let close = errors.iter().filter(|error| **error <= TELLING).count();
        assert!(off.len() >= least(of, SUCCEEDS), "{name}: {refused:?}");
        assert!(close >= least(told, IS_CLOSE), "{name}: {close} of {told} are close");
        assert!(within >= least(off.len(), IS_BOUNDED), "{name}: {within} of {} within the bound", off.len());
    }
}

fn allocated(counters: &Counters) -> u64 {
    bytes(counters.allocated_bytes)
}

/// A program whose words say what is live, `beside` what counts as in use and is not.
fn is_close_with(name: &str, allocator: &str, command: Command, steps: &[&str], beside: u64) {
    let mut workload = Workload::driven(command, steps);
    let base = Known::of(workload.pid()).counters(allocator).map_or(0, |at| allocated(&at));
    let live = Live::of(&mut workload, base, 30);
    let outcome = Outcome::of(workload.pid(), allocator, allocated, || {
        let now = live.bytes();
        (Truth::exactly(now), Truth { low: now, high: now + beside })
    });
    workload.say("rest");
    outcome.holds(name);
}

fn is_close(name: &str, allocator: &str, command: Command, steps: &[&str]) {
    is_close_with(name, allocator, command, steps, 0);
}

/// A program whose allocator says itself what is in use.
fn is_as_told(name: &str, allocator: &str, command: Command, question: &str) {
    let mut workload = Workload::driven(command, &["grow 4"]);
    let pid = workload.pid();
    drop(Live::of(&mut workload, 0, 30));
    let outcome = Outcome::of(pid, allocator, allocated, || {
        let told = Truth::exactly(workload.say(question).unwrap());
        (told, told)
    });
    workload.say("rest");
    outcome.holds(name);
}

/// A workload with as many threads as churn.
pub fn two(name: &str) -> Command {
    let mut command = program(name);
    command.arg(THREADS.to_string());
    command
}

/// A program whose allocator is a library's.
pub fn preloaded(library: &str) -> Command {
    let mut command = program("cpp");
    command.env("LD_PRELOAD", folder().join(library));
    command
}

#[test]
fn glibc_is_close() {
    is_close("c-glibc", "glibc", two("c-glibc"), &["hold"]);
    is_close("c-glibc-static", "glibc", two("c-glibc-static"), &["grow 40", "free 50"]);
    is_close("rust-default", "glibc", program("rust-default"), &["grow 8"]);
}

#[test]
fn musl_is_close() {
    is_close("c-musl", "musl", two("c-musl"), &["grow 4"]);
}

/// It counts what threads cache as in use; without statistics nobody in the process can tell how much that is.
#[test]
fn jemalloc_is_close() {
    is_as_told("rust-jemalloc-stats", "jemalloc", program("rust-jemalloc-stats"), "allocated");
    is_as_told("libjemalloc", "jemalloc", preloaded("libjemalloc.so.2"), "stats.allocated");
    let (name, cached) = ("rust-jemalloc-stripped", THREADS * JEMALLOC_CACHE);
    is_close_with(name, "jemalloc", program(name), &["grow 4"], cached);
}

#[test]
fn mimalloc_is_close() {
    is_close("rust-mimalloc-stripped", "mimalloc", program("rust-mimalloc-stripped"), &["grow 4"]);
    is_close("rust-mimalloc-v2", "mimalloc", program("rust-mimalloc-v2"), &["grow 4"]);
}

#[test]
fn tcmalloc_is_close() {
    is_close("libtcmalloc", "tcmalloc", preloaded("libtcmalloc_minimal.so.4"), &["grow 4"]);
}

/// Two threads, one at a time: that is as flat out as it gets under its lock.
#[test]
fn cpython_is_close() {
    let mut command = Command::new("python3");
    command.arg(folder().join("python.py"));
    is_close("python", "cpython", command, &["grow 4"]);
}

/// Garbage counts until it is swept: the runtime's own metric says how much there is, again and again.
#[test]
fn go_is_close() {
    let mut workload = Workload::driven(program("go-stripped"), &["grow 600"]);
    let live = Live::of(&mut workload, 0, 30);
    let outcome = Outcome::of(workload.pid(), "go", allocated, || {
        let now = Truth::exactly(live.bytes());
        (now, now)
    });
    workload.say("rest");
    outcome.holds("go-stripped");
}

/// The sum of the spaces of a Java heap.
pub fn java_heap(counters: &Counters) -> u64 {
    let arenas = counters.arenas.iter().filter(|arena| arena.name != "metaspace");
    arenas.map(|arena| bytes(arena.allocated_bytes)).sum()
}

/// In a millisecond its threads allocate 7 MiB: what is true is what they say until its memory was read. Where they said
/// nothing for a while, nobody knows what was true, and nothing is judged.
#[test]
fn hotspot_is_close() {
    for collector in super::runtimes::COLLECTORS {
        let mut command = Command::new("java");
        command.args([collector, "-Xmx3g", "-cp"]).arg(folder()).arg("Workload");
        let mut workload = Workload::driven(command, &["grow 900"]);
        let pid = workload.pid();
        let at = workload.say("churn 30").unwrap();
        let published = Published::of(pid, at);
        // Compiled by then.
        (0..500).for_each(|_| _ = published.wait());
        let (mut outcome, mut live, mut silent) = (Outcome::default(), 0, 0);
        for _ in 0..READINGS {
            let known = Known::of(pid);
            let begun = published.wait();
            let (read, end) = known.alone(&Hotspot);
            published.wait();
            // By the heap's own fields, not by the performance counters, which have other names for its spaces.
            let is_live = |counters: &Counters| counters.arenas.iter().all(|arena| !arena.name.contains(','));
            live += usize::from(read.as_ref().is_ok_and(is_live));
            let (meanwhile, is_known) = published.between(begun, end);
            if is_known {
                outcome.add(read, java_heap, meanwhile, meanwhile);
            } else {
                silent += 1;
            }
        }
        workload.say("rest");
        println!("java {collector}: {live} of {READINGS} by its fields; of {silent} the truth is not known");
        let enough = least(READINGS, SUCCEEDS);
        assert!(live >= enough, "{collector}: {live} of {READINGS} by its fields");
        outcome.of = READINGS - silent;
        outcome.holds(&format!("java {collector}"));
    }
}
