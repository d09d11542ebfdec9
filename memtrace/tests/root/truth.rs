//! Known truth: what the rows say of each workload, stopped at ten points of a random script, against its page tables.
//!
//! The model runs in this process, so that its page-table reads can be held off: at each stop the rows are first compared
//! as events alone made them, then after a read. Who owns what is told by a census of the test's own, from smaps and
//! pagemap, which knows no events. All workloads run at once, under one tracer: a stop waits for the model once, not once
//! for each.

use std::{
    collections::BTreeMap,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use memtrace::{
    daemon::threads::{
        SCANNER,
        scanner::{self, Scanner},
    },
    health::Beat,
    mm::procfs::Procfs,
    model::{Model, scan::Order},
    probe::support::Without,
    reader::Local,
    snapshot::{Memory, Snapshot},
};

use crate::{
    census::Census,
    fixture::{PATIENCE, tracer::Tracer},
    workload::{Workload, folder, program},
};

const STOPS: usize = 10;
/// MiB: what is smaller is not worth a read of its page tables, and the first ones are that.
const FIRST: u64 = 4;
const LEAST_LEFT: u64 = 8;
const TICK: Duration = Duration::from_millis(200);
/// Of the process's resident memory: each owner before a read of the page tables, each owner after it, all of them.
const HELD_OFF: f64 = 0.10;
const OWNER: f64 = 0.02;
const SUM: f64 = 0.01;

/// The model, driven by hand.
struct Watch {
    tracer: Tracer,
    model: Model,
    scanner: Scanner,
    tick: Instant,
    latest: Option<Snapshot>,
    /// Whether all that there was was taken since the last tick.
    is_empty: bool,
    /// Reads that were ordered and have not arrived.
    under_way: usize,
}

impl Watch {
    fn start() -> Self {
        let tracer = Tracer::start_with(Without::default(), 20_000);
        let mut model = Model::of_host(Path::new("/proc"));
        model.seed().unwrap();
        let scanner =
            scanner::start(Local::new(Procfs::new("/proc")), 100, Beat::unwatched(SCANNER)).unwrap();
        Self { tracer, model, scanner, tick: Instant::now(), latest: None, is_empty: false, under_way: 0 }
    }

    /// Takes what there is, and at a tick looks at the processes; page tables only if they are not held off. True for a tick
    /// at which all was taken that had come before.
    fn turn(&mut self, may_scan: bool) -> bool {
        let Self { tracer, model, scanner, tick, latest, is_empty, under_way } = self;
        let mut taken = false;
        tracer.pump(|event| {
            taken = true;
            model.apply(&event);
        });
        *is_empty |= !taken;
        while let Ok(scan) = scanner.scans.try_recv() {
            model.take(scan);
            *under_way -= 1;
        }
        if tick.elapsed() >= TICK {
            model.refresh();
            // Those tell what is mapped, and nothing of pages.
            let mut requests = model.astray();
            if may_scan {
                requests.extend(model.due());
            }
            *under_way += requests.len();
            requests.into_iter().for_each(|request| scanner.requests.send(Order::Read(request)).unwrap());
            *latest = Some(model.snapshot(None));
            *tick = Instant::now();
            return std::mem::take(is_empty);
        }
        false
    }

    /// So many ticks, with all events that came before them.
    fn run(&mut self, ticks: usize, may_scan: bool) {
        let (end, mut seen) = (Instant::now() + PATIENCE, 0);
        while seen < ticks {
            assert!(Instant::now() < end, "events come faster than they are taken");
            seen += usize::from(self.turn(may_scan));
        }
    }

    /// Takes the reads that were ordered; whether there were any. One that a program grows under is torn: what it says
    /// stays wrong until the next one.
    fn finish_reads(&mut self) -> bool {
        let end = Instant::now() + PATIENCE;
        let has_any = self.under_way > 0;
        while self.under_way > 0 {
            assert!(Instant::now() < end, "{} reads never arrive", self.under_way);
            self.turn(false);
        }
        has_any
    }

    fn memory(&self, pid: u32) -> Option<&Memory> {
        self.latest.as_ref()?.processes.iter().find(|row| row.pid == pid)?.memory.as_ref()
    }
}

/// Resident bytes by allocator, as the page tables have it now.
fn truth(pid: u32) -> (BTreeMap<String, u64>, u64) {
    let census = Census::take(pid);
    let mut owners = BTreeMap::new();
    for ((allocator, _), bytes) in &census.resident {
        *owners.entry((*allocator).to_owned()).or_default() += bytes;
    }
    let sum = owners.values().sum();
    (owners, sum)
}

fn shown(memory: &Memory) -> BTreeMap<String, u64> {
    let mut owners = BTreeMap::new();
    for arena in &memory.arenas {
        *owners.entry(arena.allocator.to_string()).or_default() += arena.resident_bytes.0;
    }
    owners
}

/// The owner that is furthest off, as a part of the whole, and the sum.
fn error(pid: u32, memory: &Memory) -> (f64, f64, String) {
    let ((truth, rss), shown) = (truth(pid), shown(memory));
    let part = |bytes: u64| bytes as f64 / rss.max(1) as f64;
    let of = |owners: &BTreeMap<String, u64>, name: &String| owners.get(name).copied().unwrap_or_default();
    let (worst, name) = truth
        .keys()
        .chain(shown.keys())
        .map(|name| (part(of(&truth, name).abs_diff(of(&shown, name))), name))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .unwrap();
    let sum = part(shown.values().sum::<u64>().abs_diff(rss));
    let why = format!(
        "{name} is off by {:.1} %, the sum by {:.1} %: {shown:?}, truth {truth:?}",
        worst * 100.0,
        sum * 100.0
    );
    (worst, sum, why)
}

/// The part of anonymous memory that nobody owns.
fn unowned(pid: u32, memory: &Memory) -> f64 {
    let lost = memory.arenas.iter().filter(|arena| arena.allocator == "unattributed");
    let lost: u64 = lost.map(|arena| arena.resident_bytes.0).sum();
    lost as f64 / Census::take(pid).total().max(1) as f64
}

/// A workload that is followed, and how far its rows were off at worst, as parts of the whole.
struct Follower {
    name: &'static str,
    /// The allocator that must hold the most of it.
    owner: &'static str,
    workload: Workload,
    random: u64,
    /// MiB that its script has left it.
    left: u64,
    command: String,
    held_off: f64,
    read: f64,
    unowned: f64,
    wrong: Vec<String>,
}

impl Follower {
    fn new(name: &'static str, owner: &'static str, workload: Workload, left: u64) -> Self {
        // The same script each time, and another one for each workload.
        let random =
            name.bytes().fold(0x5eed_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let (command, wrong) = ("start".to_owned(), Vec::new());
        Self { name, owner, workload, random, left, command, held_off: 0.0, read: 0.0, unowned: 0.0, wrong }
    }

    fn next(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.random >> 33) % below
    }

    /// The next command of its script, carried out.
    fn step(&mut self) {
        let (frees, percent, mib) = (self.next(3) == 0, 10 + self.next(60), 2 + self.next(30));
        let would_leave = self.left * (100 - percent) / 100;
        // A program that has given nearly all back has no owner to name.
        (self.command, self.left) = if frees && would_leave >= LEAST_LEFT {
            (format!("free {percent}"), would_leave)
        } else {
            (format!("grow {mib}"), self.left + mib)
        };
        self.workload.say(&self.command);
    }

    /// The rows as events alone made them; what is wrong with them.
    fn compare_held_off(&mut self, watch: &Watch) -> Option<String> {
        let pid = self.workload.pid();
        let Some(memory) = watch.memory(pid) else { return Some("no rows".to_owned()) };
        let (held, _, why) = error(pid, memory);
        if held > HELD_OFF {
            return Some(format!("{}, held off: {why}", self.command));
        }
        self.held_off = self.held_off.max(held);
        None
    }

    /// The rows after a read; what is wrong with them.
    fn compare(&mut self, watch: &Watch) -> Option<String> {
        let pid = self.workload.pid();
        let Some(memory) = watch.memory(pid) else { return Some("never read".to_owned()) };
        let (worst, sum, why) = error(pid, memory);
        // A module of 100 MiB says nothing about who allocates.
        let allocators = memory.arenas.iter().filter(|arena| arena.allocator != "module");
        let most = allocators.max_by_key(|arena| arena.resident_bytes);
        if worst > OWNER || sum > SUM {
            return Some(format!("{}: {why}", self.command));
        }
        if most.is_none_or(|most| most.allocator != self.owner) {
            return Some(format!("{}: {} is not the largest: {why}", self.command, self.owner));
        }
        self.read = self.read.max(worst);
        self.unowned = self.unowned.max(unowned(pid, memory));
        None
    }
}

/// Goes on until the rows of all fit and no read is under way; those that never fit are wrong. Page tables are read only
/// if they may be.
fn settle(watch: &mut Watch, followers: &mut [Follower], may_scan: bool) {
    let end = Instant::now() + PATIENCE;
    fit(watch, followers, may_scan, end);
    while may_scan && watch.finish_reads() {
        watch.run(1, false);
        fit(watch, followers, may_scan, end);
    }
}

fn fit(watch: &mut Watch, followers: &mut [Follower], may_scan: bool, end: Instant) {
    let mut open: Vec<&mut Follower> = followers.iter_mut().collect();
    loop {
        let is_over = Instant::now() > end;
        open.retain_mut(|follower| {
            let outcome = if may_scan { follower.compare(watch) } else { follower.compare_held_off(watch) };
            match outcome {
                Some(why) if is_over => {
                    follower.wrong.push(why);
                    false
                }
                outcome => outcome.is_some(),
            }
        });
        if open.is_empty() {
            return;
        }
        watch.run(2, may_scan);
    }
}

/// Takes events until no program moves any more: a collector frees for a while after the command was answered, and the rows
/// are of the last tick.
fn rest(watch: &mut Watch, followers: &[Follower]) {
    let sizes =
        || followers.iter().map(|follower| resident_pages(follower.workload.pid())).collect::<Vec<_>>();
    let end = Instant::now() + PATIENCE;
    let mut before = sizes();
    loop {
        watch.run(3, false);
        let now = sizes();
        let is_still = |(before, now): (&u64, &u64)| before.abs_diff(*now) <= before / 100;
        // One that never rests is judged as it is.
        if before.iter().zip(&now).all(is_still) || Instant::now() > end {
            return;
        }
        before = now;
    }
}

fn resident_pages(pid: u32) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    statm.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Follows all; `may_lack` is the part of anonymous memory that may have no owner.
fn follow(mut watch: Watch, mut followers: Vec<Follower>, may_lack: f64) {
    let first = format!("grow {FIRST}");
    followers.iter_mut().for_each(|follower| _ = follower.workload.say(&first));
    watch.run(2, true);
    settle(&mut watch, &mut followers, true);
    for _ in 0..STOPS {
        for follower in &mut followers {
            follower.step();
            watch.turn(false);
        }
        rest(&mut watch, &followers);
        // One may free while the others are compared; what events alone got wrong stays so until a read.
        settle(&mut watch, &mut followers, false);
        watch.run(2, true);
        settle(&mut watch, &mut followers, true);
    }
    let mut wrong = Vec::new();
    for follower in followers {
        let percent = |part: f64| part * 100.0;
        println!(
            "{:<16} held off {:>5.1} %  read {:>4.2} %  unowned {:>4.2} %",
            follower.name,
            percent(follower.held_off),
            percent(follower.read),
            percent(follower.unowned)
        );
        wrong.extend(follower.wrong.iter().map(|why| format!("{}: {why}", follower.name)));
        if follower.unowned > may_lack {
            wrong.push(format!("{}: {} of anonymous memory has no owner", follower.name, follower.unowned));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_was_traced_from_the_start_agrees_with_its_page_tables() {
    let watch = Watch::start();
    let start =
        |(name, owner, command): (_, _, Command)| Follower::new(name, owner, Workload::start(command), FIRST);
    follow(watch, all().into_iter().map(start).collect(), 0.02);
}

#[test]
fn what_was_attached_to_later_agrees_with_its_page_tables() {
    let start = |(name, owner, command)| {
        Follower::new(name, owner, Workload::driven(command, &["grow 24", "free 30"]), FIRST + 16)
    };
    let followers = all().into_iter().map(start).collect();
    follow(Watch::start(), followers, 0.05);
}

fn interpreted(interpreter: &str, arguments: &[&str], file: &str) -> Command {
    let mut command = Command::new(interpreter);
    command.args(arguments).arg(folder().join(file));
    command
}

/// The workloads, and who has the most in each.
fn all() -> Vec<(&'static str, &'static str, Command)> {
    let mut tcmalloc = program("cpp");
    tcmalloc.env("LD_PRELOAD", folder().join("libtcmalloc_minimal.so.4"));
    let mut java = Command::new("java");
    java.arg("-cp").arg(folder()).arg("Workload");
    vec![
        ("c-glibc", "glibc", program("c-glibc")),
        ("c-glibc-static", "glibc", program("c-glibc-static")),
        ("c-musl", "musl", program("c-musl")),
        ("cpp", "glibc", program("cpp")),
        ("cpp-tcmalloc", "tcmalloc", tcmalloc),
        ("rust-default", "glibc", program("rust-default")),
        ("rust-jemalloc", "jemalloc", program("rust-jemalloc")),
        ("rust-mimalloc", "mimalloc", program("rust-mimalloc")),
        ("rust-snmalloc", "snmalloc", program("rust-snmalloc")),
        ("go", "go", program("go")),
        ("java", "jvm", java),
        ("node", "v8", interpreted("node", &["--expose-gc"], "node.js")),
        ("python", "cpython", interpreted("python3", &[], "python.py")),
        ("file-mapper", "file", program("file-mapper")),
        ("shmem-user", "shmem", program("shmem-user")),
        ("forker", "glibc", program("forker")),
    ]
}
