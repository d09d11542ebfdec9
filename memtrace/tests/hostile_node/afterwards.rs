//! What is asked of the daemon after each hostile act.

use std::{fs, path::Path, process::Output, thread, time::Duration};

use jiff::Timestamp;
use memtrace::store::{Filter, Store};

use crate::fixture::{
    PATIENCE,
    cgroup::Cgroup,
    daemon::{Daemon, Place},
    eventually, in_time, memtrace, mib,
    program::Program,
    said,
};

/// What a daemon holds that it could leave behind.
#[derive(Debug, Default)]
pub struct Held {
    /// What each descriptor is, but for one socket of each reader: they come and go.
    descriptors: Vec<String>,
    /// The name of each.
    threads: Vec<String>,
}

impl Held {
    /// At this moment.
    pub fn by(daemon: &Daemon<'_>) -> Self {
        let of = |what: &str, name: fn(&Path) -> Option<String>| -> Vec<String> {
            let entries = fs::read_dir(format!("/proc/{}/{what}", daemon.pid())).unwrap();
            entries.flatten().filter_map(|entry| name(&entry.path())).collect()
        };
        let mut descriptors = of("fd", |path| Some(fs::read_link(path).ok()?.display().to_string()));
        for _ in children(daemon) {
            if let Some(at) = descriptors.iter().position(|what| what.starts_with("socket:")) {
                descriptors.swap_remove(at);
            }
        }
        let threads = of("task", |path| fs::read_to_string(path.join("comm")).ok());
        Self { descriptors, threads }
    }

    /// What is here and not there, by kind.
    fn more_than(&self, other: &Self) -> String {
        let kind = |what: &str| what.trim().split(":[").next().unwrap_or_default().to_owned();
        let mut more = std::collections::BTreeMap::<String, i64>::new();
        for (held, step) in [(self, 1), (other, -1)] {
            for what in held.descriptors.iter().chain(&held.threads) {
                *more.entry(kind(what)).or_default() += step;
            }
        }
        more.retain(|_, number| *number != 0);
        format!("{more:?}")
    }
}

/// The processes that the daemon has started.
pub fn children(daemon: &Daemon<'_>) -> Vec<u32> {
    children_of(daemon.pid())
}

/// Those of this process; none when it has ended.
pub fn children_of(pid: u32) -> Vec<u32> {
    let of = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("children")).unwrap_or_default();
    let all: String =
        fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten().map(of).collect();
    all.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// The proportional share of the daemon and its readers, as the kernel counts it.
pub fn memory(daemon: &Daemon<'_>) -> u64 {
    let of = |pid: u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:")?.split_whitespace().next());
        line.map_or(0, |kib| kib.parse::<u64>().unwrap() * 1024)
    };
    children(daemon).into_iter().map(of).sum::<u64>() + of(daemon.pid())
}

/// What it says of its health.
pub fn health(place: &Place) -> Output {
    let socket = place.socket();
    memtrace(&["health", "--socket", socket.to_str().unwrap()])
}

/// The test that runs.
fn row() -> String {
    thread::current().name().unwrap_or("a test").to_owned()
}

/// It records a kill elsewhere, and says that it is well. The time from the kill until its record was found on the disk is
/// told and not judged: it is also that of the machine.
pub fn it_is_well(place: &Place) {
    let group = Cgroup::new().limit(mib(24));
    let victim = Program::eat(&["cgroup", group.directory(), "grow"]);
    // By its row alone: there may be a thousand records, and reading them all takes seconds.
    let is_stored = || {
        let kills = Store::open_read_only(&place.state()).ok()?.list(&Filter::default()).unwrap();
        kills.into_iter().find(|kill| kill.victim_pid == Some(victim.pid()))
    };
    let kill = eventually("a kill elsewhere is on the disk", PATIENCE, is_stored);
    let took = Duration::try_from(Timestamp::now().duration_since(kill.time)).unwrap_or_default();
    println!("durable {} ms after the kill: {}", took.as_millis(), row());
    let health = health(place);
    assert!(health.status.success(), "{}", said(&health));
}

/// The readers that may wait for the next question: one for all, one that scans and one that walks stacks.
const READERS: usize = 3;

/// Nothing is left of what it used meanwhile: a few readers wait for the next question, no more than before is open, and
/// its memory is within its budget.
pub fn nothing_is_left(daemon: &Daemon<'_>, before: &Held) {
    eventually("a few readers are left", PATIENCE, || (children(daemon).len() <= READERS).then_some(()));
    let mut now = Held::default();
    let is_closed = in_time(PATIENCE, || {
        now = Held::by(daemon);
        (now.descriptors.len() <= before.descriptors.len() && now.threads.len() <= before.threads.len())
            .then_some(())
    });
    assert!(is_closed.is_some(), "more is open than before: {}", now.more_than(before));
    let budget = daemon.tracer().memory.budget_bytes.0;
    let mut holds = 0;
    eventually("the memory of it and its readers is within their budget", PATIENCE, || {
        holds = memory(daemon);
        (holds <= budget).then_some(())
    });
    println!("holds {} of {} MiB: {}", holds / mib(1), budget / mib(1), row());
    eventually("readers that died are waited for", PATIENCE, || {
        let stat = |child| fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        (!children(daemon).into_iter().any(|child| stat(child).contains(") Z "))).then_some(())
    });
}
