//! A thousand kills at full speed, while the daemon dies, is stopped, and its readers die.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use memtrace::oom::record::{OomRecord, circumstances::Source};
use memtrace_common::counter::Counter;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    afterwards::{Held, it_is_well, nothing_is_left},
    fixture::{
        PATIENCE,
        bpffs::Bpffs,
        cgroup::Cgroup,
        daemon::{Daemon, Place},
        eventually, mib,
        program::Program,
    },
};

const GROUPS: usize = 50;
const CHILDREN: usize = 20;
const ALL: u64 = (GROUPS * CHILDREN) as u64;

/// Fifty groups; in each of them twenty children are killed, as fast as the kernel can.
struct Storm {
    groups: Vec<(Cgroup, Program)>,
    _parent: Cgroup,
}

impl Storm {
    fn new() -> Self {
        let parent = Cgroup::new();
        let children = CHILDREN.to_string();
        let groups = (0..GROUPS).map(|number| {
            let group = parent.child(&format!("c{number}")).limit(mib(4));
            let program = Program::eat(&["wait", "children-in", group.directory(), "storm", &children]);
            program.ready();
            (group, program)
        });
        Self { groups: groups.collect(), _parent: parent }
    }

    fn begin(&mut self) {
        self.groups.iter_mut().for_each(|(_, program)| program.go_on());
    }

    /// So many kills that the kernel has counted, or more.
    fn until(&self, kills: u64) {
        eventually("so many were killed", PATIENCE, || (self.counted() >= kills).then_some(()));
    }

    fn counted(&self) -> u64 {
        self.groups.iter().map(|(group, _)| group.oom_kills()).sum()
    }

    /// Who was killed.
    fn dead(&mut self) -> HashSet<u32> {
        let mut dead = HashSet::new();
        for (_, program) in &mut self.groups {
            dead.extend(program.lines().iter().map(|line| line.parse::<u32>().unwrap()));
            assert!(program.end().success());
        }
        dead
    }
}

fn kill(daemon: &mut Daemon<'_>) {
    daemon.signal(Signal::KILL);
    daemon.end();
}

/// Kills one of the daemon's readers now and then, until it is told to stop.
fn kill_readers(daemon: u32, is_over: &AtomicBool) -> u32 {
    let (mut killed, mut turn) = (0, 0_usize);
    while !is_over.load(Ordering::Relaxed) {
        let readers = crate::afterwards::children_of(daemon);
        turn = turn.wrapping_mul(5).wrapping_add(3);
        if let Some(reader) = readers.get(turn % readers.len().max(1)) {
            let pid = Pid::from_raw(i32::try_from(*reader).unwrap()).unwrap();
            killed += u32::from(kill_process(pid, Signal::KILL).is_ok());
        }
        thread::sleep(Duration::from_millis(u64::try_from(turn % 50).unwrap()));
    }
    killed
}

#[test]
fn a_thousand_kills_while_the_daemon_dies_twice_and_is_stopped_once() {
    let bpffs = Bpffs::new();
    let place = Place::pinned(bpffs.path());
    let mut storm = Storm::new();
    let mut first = place.start(&[]);
    // What is opened with the first kill is open then.
    it_is_well(&place);
    let held = Held::by(&first);
    storm.begin();
    storm.until(ALL / 10);
    kill(&mut first);
    let seen = storm.counted();
    drop(first);
    let mut second = place.start(&[]);
    second.signal(Signal::STOP);
    // The stop is the act itself; no condition is waited for.
    thread::sleep(Duration::from_secs(10));
    second.signal(Signal::CONT);
    kill(&mut second);
    drop(second);
    let third = place.start(&[]);
    let is_over = AtomicBool::new(false);
    let (dead, records, killed) = thread::scope(|scope| {
        let (pid, is_over) = (third.pid(), &is_over);
        let killer = scope.spawn(move || kill_readers(pid, is_over));
        let dead = storm.dead();
        let records = eventually("all are recorded", PATIENCE, || {
            let all = place.records().into_iter().filter(|record| dead.contains(&record.victim.task.tid));
            Some(all.collect::<Vec<OomRecord>>()).filter(|records| records.len() as u64 >= ALL)
        });
        is_over.store(true, Ordering::Relaxed);
        (dead, records, killer.join().unwrap())
    });
    assert_eq!((dead.len() as u64, storm.counted()), (ALL, ALL), "each child was killed once");
    let distinct: HashSet<u32> = records.iter().map(|record| record.victim.task.tid).collect();
    assert_eq!((records.len() as u64, distinct.len() as u64), (ALL, ALL), "all, and none twice");
    let others = records.iter().filter(|record| record.circumstances.source != Source::Live).count();
    assert_eq!(others, 0, "each has what the kernel knew at that instant");
    let losses = third.tracer().losses;
    assert!(
        !losses.iter().any(|loss| loss.name == Counter::KillsFull.name() && loss.count > 0),
        "{losses:?}"
    );
    println!("{ALL} kills; the daemon died first after {seen} of them; {killed} readers were killed");
    it_is_well(&place);
    nothing_is_left(&third, &held);
}
