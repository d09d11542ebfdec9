//! Processes as no sane program is: their rows are right all the same, or say why not, and the engine never stands still.

use std::{
    fs,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use memtrace::{
    mm::{maps, procfs::Procfs, region::Prot},
    snapshot::{Memory, ProcessRow, Snapshot},
    units::Bytes,
};
use rustix::process::Signal;

use crate::fixture::{
    PATIENCE,
    daemon::{Daemon, Place},
    eventually,
    http::Client,
    mib,
    program::Program,
};

/// A snapshot is published every second; one that is older than this says that the engine stood still, on any machine.
const OLDEST: Duration = Duration::from_secs(60);
/// A daemon that is not optimised is over its budget by itself, and then reads less.
const UNBOUND: [&str; 4] = ["--scan-share", "100", "--cpu-budget", "0"];
/// The rows' sum, of the process's resident memory.
const SUM: u64 = 50;

/// Does something while the age of what the daemon shows is watched.
fn steadily<T>(place: &Place, act: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    let (outcome, oldest) = thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut client = Client::unix(&place.socket());
            let mut oldest = Duration::ZERO;
            while !over.load(Ordering::Relaxed) {
                let answer = client.get("/v1/snapshot", "").unwrap();
                let snapshot: Snapshot = serde_json::from_str(&answer.body).unwrap();
                let age =
                    Duration::try_from(Timestamp::now().duration_since(snapshot.time)).unwrap_or_default();
                oldest = oldest.max(age);
                thread::sleep(Duration::from_millis(50));
            }
            oldest
        });
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        over.store(true, Ordering::Relaxed);
        (outcome, watcher.join().unwrap())
    });
    let outcome = outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    println!("the oldest snapshot was {:.1} s old", oldest.as_secs_f64());
    assert!(oldest < OLDEST, "the engine stood still for {oldest:?}");
    outcome
}

fn sum(memory: &Memory) -> u64 {
    memory.arenas.iter().map(|arena| arena.resident_bytes.0).sum()
}

/// The row of a process once its parts are known and add up to what the kernel counts now.
fn whole_row(daemon: &Daemon<'_>, what: &str, pid: u32) -> ProcessRow {
    daemon.row(what, pid, |row| {
        let statm = Procfs::new("/proc").statm(pid).unwrap();
        let resident = statm.resident * rustix::param::page_size() as u64;
        row.rss_bytes.is_some_and(|rss| rss.0.abs_diff(resident) <= resident / SUM)
            && row.memory.as_ref().is_some_and(|memory| {
                memory.stale.is_none() && sum(memory).abs_diff(resident) <= resident / SUM
            })
    })
}

#[test]
fn a_process_of_sixty_thousand_mappings() {
    const MAPPINGS: usize = 60_000;
    let place = Place::new();
    let daemon = place.start(&UNBOUND);
    steadily(&place, || {
        let program = Program::eat(&["vmas", "60000", "wait"]);
        program.ready();
        let regions = maps::read(&Procfs::new("/proc"), program.pid()).unwrap().regions;
        assert!(regions.len() >= MAPPINGS, "{} mappings", regions.len());
        let row = whole_row(&daemon, "all of them are known", program.pid());
        let memory = row.memory.unwrap();
        let mapped: u64 = memory.arenas.iter().map(|arena| arena.mapped_bytes.0).sum();
        // What may not be touched is nobody's memory.
        let usable = regions.iter().filter(|region| region.prot != Prot::NONE);
        let truth: u64 = usable.map(|region| region.len()).sum();
        assert_eq!(mapped, truth);
    });
}

#[test]
fn a_process_that_maps_a_hundred_thousand_times_a_second() {
    const PAIRS: u32 = 400_000;
    let place = Place::new();
    // With the usual budget most calls are only counted; without one all are streamed, or lost and counted.
    for budget in ["20000", "0"] {
        let daemon = place.start(&["--scan-share", "100", "--cpu-budget", "0", "--event-budget", budget]);
        steadily(&place, || {
            let mut program =
                Program::eat(&["touch", "20", "wait", "churn", &PAIRS.to_string(), "touch", "10", "wait"]);
            program.ready();
            whole_row(&daemon, "it is known", program.pid());
            let begun = Instant::now();
            program.go_on();
            program.ready();
            let rate = f64::from(2 * PAIRS) / begun.elapsed().as_secs_f64();
            println!("budget {budget}: {rate:.0} calls a second");
            let row = whole_row(&daemon, "it is known again", program.pid());
            assert!(row.rss_bytes.unwrap() >= Bytes(mib(30)), "{row:?}");
            let counted = daemon.tracer();
            let lost: u64 = counted.losses.iter().map(|loss| loss.count).sum();
            let all = u64::from(2 * PAIRS);
            assert!(counted.events + lost >= all, "{} events, {lost} lost, of {all}", counted.events);
        });
    }
}

#[test]
fn processes_that_end_while_they_are_read() {
    let place = Place::new();
    let daemon = place.start(&UNBOUND);
    let bystander = Program::eat(&["touch", "30", "wait"]);
    bystander.ready();
    steadily(&place, || {
        for turn in 0..12_u64 {
            // Long enough to read that most ends fall into a read.
            let program = Program::eat(&["vmas", "20000", "wait"]);
            program.ready();
            let pid = program.pid();
            daemon.row("it is seen", pid, |_| true);
            thread::sleep(Duration::from_millis(turn * 17));
            drop(program);
            eventually("it is gone", PATIENCE, || {
                place.top().processes.iter().all(|row| row.pid != pid).then_some(())
            });
        }
    });
    whole_row(&daemon, "the others are read as before", bystander.pid());
}

#[test]
fn a_process_with_the_id_of_one_that_ended() {
    let place = Place::new();
    let daemon = place.start(&UNBOUND);
    let next = Path::new("/proc/sys/kernel/ns_last_pid");
    let (old, reused) = eventually("an id is used again", PATIENCE, || {
        let program = Program::eat(&["comm", "6f6c64", "touch", "60", "wait"]);
        program.ready();
        let pid = program.pid();
        let row = whole_row(&daemon, "the first is known", pid);
        drop(program);
        // Before the next tick, if nobody else starts a process in between.
        fs::write(next, (pid - 1).to_string()).unwrap();
        let program = Program::eat(&["comm", "6e6577", "touch", "25", "wait"]);
        program.ready();
        (program.pid() == pid).then_some((row, program))
    });
    let row =
        daemon.row("the second is known", reused.pid(), |row| row.comm == "new" && row.memory.is_some());
    assert!(row.started > old.started, "{:?} {:?}", row.started, old.started);
    let row = whole_row(&daemon, "nothing is left of the first", reused.pid());
    let rss = row.rss_bytes.unwrap().0;
    assert!((mib(25)..mib(30)).contains(&rss), "{rss}");
    assert!(row.growth_bytes_per_second.is_none_or(|growth| growth > -1.0), "{row:?}");
}

#[test]
fn files_whose_names_look_like_something_else() {
    let names: [&[u8]; 5] = [
        b"with blanks  and more",
        b"line\nbreak",
        b"(in) (deleted)",
        b"\xff\xfe not UTF-8",
        b"back\\012slash",
    ];
    let place = Place::new();
    let daemon = place.start(&UNBOUND);
    let directory = tempfile::tempdir().unwrap();
    for name in names {
        let path = directory.path().join(std::ffi::OsStr::from_bytes(name));
        fs::write(&path, vec![7; mib(4) as usize]).unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let program = Program::eat(&["file", link.to_str().unwrap(), "wait"]);
        program.ready();
        fs::remove_file(&link).unwrap();
        for is_deleted in [false, true] {
            if is_deleted {
                fs::remove_file(&path).unwrap();
            }
            let regions = maps::read(&Procfs::new("/proc"), program.pid()).unwrap();
            assert_eq!(regions.malformed, 0, "{name:?}");
            let row = whole_row(&daemon, "it is known", program.pid());
            let files = row.memory.unwrap().arenas.into_iter().filter(|arena| arena.allocator == "file");
            let held: u64 = files.map(|arena| arena.resident_bytes.0).sum();
            assert!(held.abs_diff(mib(4)) <= mib(4) / 100, "{held} of {name:?}");
        }
    }
}

#[test]
fn a_process_in_other_namespaces() {
    let place = Place::new();
    let daemon = place.start(&UNBOUND);
    let eat = Program::eat_path();
    let directory = tempfile::tempdir().unwrap();
    let there = directory.path().display();
    // Its /proc is not ours, nor is the file that it runs, and it is process 1 there.
    let program = Program::shell(&format!(
        "exec unshare --pid --mount --fork --mount-proc sh -ec 'mount -t tmpfs none {there}; \
         cp {eat} {there}/inside; test $$ = 1; exec {there}/inside touch 40 wait'"
    ));
    program.ready();
    let unshare = program.pid();
    let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).unwrap();
    let pid: u32 = children.trim().parse().unwrap();
    let row = whole_row(&daemon, "it is known by the id that we know it by", pid);
    assert_eq!(row.comm, "inside");
    let anonymous = row.memory.unwrap().arenas.into_iter().map(|arena| arena.resident_bytes.0).max();
    assert!(anonymous.is_some_and(|bytes| bytes.abs_diff(mib(40)) <= mib(1)), "{anonymous:?}");
}

#[test]
fn a_stopped_process_and_a_dead_one() {
    let place = Place::new();
    let daemon = place.start(&UNBOUND);
    let mut program = Program::eat(&["touch", "30", "wait", "touch", "10", "exit", "0"]);
    program.ready();
    program.signal(Signal::STOP);
    let row = whole_row(&daemon, "a stopped process is known", program.pid());
    assert!(row.rss_bytes.unwrap() >= Bytes(mib(30)));
    steadily(&place, || daemon.looks(3));
    program.signal(Signal::CONT);
    program.go_on();
    let state = || Procfs::new("/proc").stat(program.pid()).unwrap().state;
    eventually("it is dead, and nobody has asked for it", PATIENCE, || (state() == b'Z').then_some(()));
    // Dead ones have no memory: none is shown.
    eventually("no memory is shown of it", PATIENCE, || {
        let rows = place.top().processes;
        let row = rows.iter().find(|row| row.pid == program.pid());
        row.is_none_or(|row| row.rss_bytes == Some(Bytes(0)) && row.memory.is_none()).then_some(())
    });
}
