//! What is asked of the daemon after each hostile act.

use std::{fs, path::Path};

use crate::fixture::{
    PATIENCE,
    cgroup::Cgroup,
    daemon::{Daemon, Place},
    eventually, memtrace, mib,
    program::Program,
    said,
};

/// What a daemon holds that it could leave behind.
#[derive(Debug, PartialEq)]
pub struct Held {
    descriptors: usize,
    threads: usize,
}

impl Held {
    /// At this moment.
    pub fn by(daemon: &Daemon<'_>) -> Self {
        let count = |what: &str| fs::read_dir(format!("/proc/{}/{what}", daemon.pid())).unwrap().count();
        // Each reader has a socket, and comes and goes.
        let readers = children(daemon).len();
        Self { descriptors: count("fd").saturating_sub(readers), threads: count("task") }
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

/// It records a kill elsewhere, and says that it is well.
pub fn it_is_well(place: &Place) {
    let group = Cgroup::new().limit(mib(24));
    let victim = Program::eat(&["cgroup", group.directory(), "grow"]);
    let record = place.record(victim.pid());
    assert_eq!(record.victim.task.pid, Some(victim.pid()));
    let socket = place.socket();
    let health = memtrace(&["health", "--socket", socket.to_str().unwrap()]);
    assert!(health.status.success(), "{}", said(&health));
}

/// The readers that may wait for the next question: one for all, one that scans and one that walks stacks.
const READERS: usize = 3;

/// Nothing is left of what it used meanwhile: a few readers wait for the next question, and no more than before is open.
pub fn nothing_is_left(daemon: &Daemon<'_>, before: &Held) {
    eventually("a few readers are left", PATIENCE, || (children(daemon).len() <= READERS).then_some(()));
    eventually("what was open is closed", PATIENCE, || {
        let now = Held::by(daemon);
        (now.descriptors <= before.descriptors && now.threads <= before.threads).then_some(())
    });
    for child in children(daemon) {
        let stat = fs::read_to_string(Path::new("/proc").join(child.to_string()).join("stat")).unwrap();
        assert!(!stat.contains(") Z "), "a reader was not waited for: {stat}");
    }
}
