//! Known truth: what the rows say of each workload, stopped at ten points of a random script, against its page tables.
//!
//! The model runs in this process, so that its page-table reads can be held off: at each stop the rows are first compared
//! as events alone made them, then after a read. Who owns what is told by a census of the test's own, from smaps and
//! pagemap, which knows no events.

use std::{
    collections::BTreeMap,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use memtrace::{
    daemon::{
        model::Model,
        scanner::{self, Scanner},
    },
    mm::procfs::Procfs,
    probe::support::Without,
    snapshot::{Memory, Snapshot},
};

use crate::{
    census::Census,
    fixture::{PATIENCE, tracer::Tracer},
    workload::{Workload, folder, program},
};

const STOPS: usize = 10;
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
}

impl Watch {
    fn start() -> Self {
        let tracer = Tracer::start_with(Without::default(), 20_000);
        let mut model = Model::of_host(Path::new("/proc"));
        model.seed().unwrap();
        let scanner = scanner::start(Procfs::new("/proc"), 100).unwrap();
        Self { tracer, model, scanner, tick: Instant::now(), latest: None }
    }

    /// Takes what there is, and at a tick looks at the processes; page tables only if they are not held off.
    fn turn(&mut self, may_scan: bool) {
        let Self { tracer, model, scanner, tick, latest } = self;
        tracer.pump(|event| model.apply(&event));
        while let Ok(scan) = scanner.scans.try_recv() {
            model.take(scan);
        }
        if tick.elapsed() >= TICK {
            model.refresh();
            if may_scan {
                model.due().into_iter().for_each(|request| scanner.requests.send(request).unwrap());
            }
            *latest = Some(model.snapshot(None));
            *tick = Instant::now();
        }
    }

    fn run(&mut self, time: Duration, may_scan: bool) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn(may_scan);
        }
    }

    fn memory(&self, pid: u32) -> Option<&Memory> {
        self.latest.as_ref()?.processes.iter().find(|row| row.pid == pid)?.memory.as_ref()
    }

    /// Until the rows fit; what is wrong with them at the last if they never do.
    fn settle(&mut self, pid: u32, wrong: impl Fn(&Memory) -> Option<String>) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        loop {
            self.run(2 * TICK, true);
            let why = match self.memory(pid) {
                Some(memory) => wrong(memory),
                None => Some("never read".to_owned()),
            };
            match why {
                None => return Ok(()),
                Some(why) if Instant::now() > end => return Err(why),
                Some(_) => {}
            }
        }
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
        *owners.entry(arena.allocator.clone()).or_default() += arena.resident_bytes.0;
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

/// Follows a workload; `may_lack` is the part of its anonymous memory that may have no owner.
fn follow(watch: &mut Watch, workload: &mut Workload, name: &str, may_lack: f64) {
    let pid = workload.pid();
    let is_close = |memory: &Memory| {
        let (worst, sum, why) = error(pid, memory);
        (worst > OWNER || sum > SUM).then_some(why)
    };
    watch.settle(pid, is_close).unwrap_or_else(|why| panic!("{name}, at first: {why}"));
    // The same script each time.
    let mut random = 0x5eed_u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 33) % below
    };
    let (mut worst_held, mut worst_read, mut worst_lack, mut wrong) = (0.0_f64, 0.0_f64, 0.0_f64, Vec::new());
    for stop in 0..STOPS {
        let command = match next(3) {
            0 => format!("free {}", 10 + next(60)),
            _ => format!("grow {}", 2 + next(30)),
        };
        workload.say(&command);
        watch.run(3 * TICK, false);
        let (held, _, why) = error(pid, watch.memory(pid).unwrap());
        worst_held = worst_held.max(held);
        if held > HELD_OFF {
            wrong.push(format!("{stop} {command}, held off: {why}"));
        }
        match watch.settle(pid, is_close) {
            Ok(()) => {
                let memory = watch.memory(pid).unwrap();
                worst_read = worst_read.max(error(pid, memory).0);
                worst_lack = worst_lack.max(unowned(pid, memory));
            }
            Err(why) => wrong.push(format!("{stop} {command}: {why}")),
        }
    }
    println!(
        "{name:<16} held off {:>5.1} %  read {:>4.2} %  unowned {:>4.2} %",
        worst_held * 100.0,
        worst_read * 100.0,
        worst_lack * 100.0
    );
    assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
    assert!(worst_lack <= may_lack, "{name}: {worst_lack} of anonymous memory has no owner");
}

fn both(name: &str, command: impl Fn() -> Command) {
    let mut watch = Watch::start();
    let mut workload = Workload::start(command());
    follow(&mut watch, &mut workload, &format!("{name} traced"), 0.02);
    drop((watch, workload));
    let mut workload = Workload::driven(command(), &["grow 24", "free 30"]);
    let mut watch = Watch::start();
    follow(&mut watch, &mut workload, &format!("{name} attached"), 0.05);
}

macro_rules! workloads {
    ($($test:ident: $name:literal, $command:expr;)*) => {$(
        #[test]
        #[ignore = "has compiled and was never run: its tolerances are the contract's, not measured"]
        fn $test() {
            both($name, $command);
        }
    )*};
}

fn interpreted(interpreter: &str, arguments: &[&str], file: &str) -> Command {
    let mut command = Command::new(interpreter);
    command.args(arguments).arg(folder().join(file));
    command
}

workloads! {
    c_glibc: "c-glibc", || program("c-glibc");
    c_glibc_static: "c-glibc-static", || program("c-glibc-static");
    c_musl: "c-musl", || program("c-musl");
    cpp: "cpp", || program("cpp");
    cpp_tcmalloc: "cpp-tcmalloc", || {
        let mut command = program("cpp");
        command.env("LD_PRELOAD", folder().join("libtcmalloc_minimal.so.4"));
        command
    };
    rust_default: "rust-default", || program("rust-default");
    rust_jemalloc: "rust-jemalloc", || program("rust-jemalloc");
    rust_mimalloc: "rust-mimalloc", || program("rust-mimalloc");
    rust_snmalloc: "rust-snmalloc", || program("rust-snmalloc");
    go: "go", || program("go");
    java: "java", || {
        let mut command = Command::new("java");
        command.arg("-cp").arg(folder()).arg("Workload");
        command
    };
    node: "node", || interpreted("node", &["--expose-gc"], "node.js");
    python: "python", || interpreted("python3", &[], "python.py");
    file_mapper: "file-mapper", || program("file-mapper");
    shmem_user: "shmem-user", || program("shmem-user");
    forker: "forker", || program("forker");
}
