//! The process table against made-up sources: identity, growth, what is read and when.

use std::cell::RefCell;

use memtrace_common::event::{
    Header, Kind,
    space::Brk,
    task::{Exec, Exit, Fork},
};
use zerocopy::FromZeros;

use super::*;

const SECOND: u64 = 1_000_000_000;

/// A fake /proc: resident bytes by pid, and the pids that were read.
#[derive(Default)]
struct Fake {
    resident: HashMap<u32, u64>,
    reads: RefCell<Vec<u32>>,
}

impl Source for Fake {
    fn seed(&self, pid: u32) -> Option<Seed> {
        self.resident.get(&pid)?;
        Some(Seed {
            parent: None,
            comm: b"name".to_vec(),
            start: 5,
            uid: Some(0),
            cgroup: Some(b"/a".to_vec()),
            is_kernel_thread: pid == 2,
        })
    }

    fn resident(&self, pid: u32) -> Option<Resident> {
        self.reads.borrow_mut().push(pid);
        self.resident.get(&pid).map(|bytes| Resident { bytes: *bytes, shared: 1 })
    }
}

fn header(kind: Kind, tgid: u32) -> Header {
    Header { ktime: 0, tgid, tid: tgid, kind: kind as u16, cpu: 0, reserved: 0 }
}

fn task(tgid: u32, start: u64) -> Task {
    let mut task = Task::new_zeroed();
    (task.tgid, task.tid, task.start_boottime) = (tgid, tgid, start);
    task.leader_comm[..3].copy_from_slice(b"sh\x1b");
    task
}

fn fork(tgid: u32, start: u64) -> Event {
    Event::Task(TaskEvent::Fork(Fork {
        header: header(Kind::Fork, 1),
        child: task(tgid, start),
        shares_mm: 0,
        reserved: 0,
    }))
}

fn brk(tgid: u32) -> Event {
    Event::Space(SpaceEvent::Brk(Brk { header: header(Kind::Brk, tgid), brk: 0 }))
}

#[test]
fn only_what_moved_is_read_again_until_the_sweep() {
    let mut source = Fake { resident: [(10, 100), (11, 100)].into(), ..Fake::default() };
    let mut table = ProcessTable::default();
    table.seed(&[10, 11], &source, SECOND);
    source.reads.borrow_mut().clear();
    source.resident.insert(11, 300);
    table.apply(&brk(11));
    table.refresh(&source, 2 * SECOND);
    assert_eq!(*source.reads.borrow(), [11]);
    assert_eq!(table.get(11).unwrap().resident(), Some(Reading { at: 2 * SECOND, bytes: 300, shared: 1 }));
    source.reads.borrow_mut().clear();
    table.refresh(&source, 11 * SECOND);
    assert_eq!(*source.reads.borrow(), [10]);
}

#[test]
fn growth_is_over_the_window_or_the_life() {
    let mut source = Fake { resident: [(10, 100)].into(), ..Fake::default() };
    let mut table = ProcessTable::default();
    table.seed(&[10], &source, SECOND);
    assert_eq!(table.get(10).unwrap().growth(SECOND), None, "one reading is no growth");
    for second in 2..=31 {
        source.resident.insert(10, 100 * second);
        table.apply(&brk(10));
        table.refresh(&source, second * SECOND);
        let growth = table.get(10).unwrap().growth(second * SECOND).unwrap();
        let over = (second - 1).min(10);
        assert_eq!(growth, Growth { bytes: 100 * over as i64, over: over * SECOND });
    }
}

#[test]
fn a_process_that_stopped_growing_stops_growing() {
    let mut source = Fake { resident: [(10, 100)].into(), ..Fake::default() };
    let mut table = ProcessTable::default();
    table.seed(&[10], &source, SECOND);
    source.resident.insert(10, 900);
    table.apply(&brk(10));
    table.refresh(&source, 2 * SECOND);
    let growth = table.get(10).unwrap().growth(30 * SECOND);
    assert_eq!(growth, Some(Growth { bytes: 0, over: 10 * SECOND }));
}

#[test]
fn a_pid_that_is_used_again_is_another_process() {
    let source = Fake { resident: [(10, 100)].into(), ..Fake::default() };
    let mut table = ProcessTable::default();
    table.apply(&fork(10, 1000));
    table.refresh(&source, SECOND);
    let exit =
        Exit { header: header(Kind::Exit, 10), task: task(10, 1000), exit_code: 9, reserved: 0, max_rss: 0 };
    table.apply(&Event::Task(TaskEvent::Exit(exit)));
    assert!(table.get(10).is_none());
    table.apply(&fork(10, 2000));
    assert_eq!(table.get(10).unwrap().start, Some(2000));
    assert_eq!(table.get(10).unwrap().resident(), None, "nothing is inherited from the dead");
}

/// The exit and the fork were lost: the next sweep sees another start time.
#[test]
fn a_lost_exit_is_noticed_at_the_sweep() {
    let source = Fake { resident: [(10, 100)].into(), ..Fake::default() };
    let mut table = ProcessTable::default();
    table.apply(&fork(10, 90 * SECOND));
    table.refresh(&source, 100 * SECOND);
    assert_eq!(table.get(10).unwrap().start, Some(90 * SECOND));
    table.refresh(&source, 111 * SECOND);
    assert_eq!(table.get(10).unwrap().start, Some(5));
    assert_eq!(table.get(10).unwrap().growth(111 * SECOND), None);
}

/// The same, immediately, after lost events.
#[test]
fn all_are_looked_at_again_when_events_were_lost() {
    let source = Fake { resident: [(10, 100), (11, 100)].into(), ..Fake::default() };
    let mut table = ProcessTable::default();
    table.apply(&fork(10, 90 * SECOND));
    table.refresh(&source, 100 * SECOND);
    assert_eq!(table.get(10).unwrap().start, Some(90 * SECOND));
    table.mark_all();
    table.seed(&[10, 11], &source, 101 * SECOND);
    assert_eq!(table.get(10).unwrap().start, Some(5));
    assert!(table.get(11).is_some());
}

#[test]
fn names_follow_exec_and_are_escaped() {
    let mut table = ProcessTable::default();
    table.apply(&Event::Task(TaskEvent::Exec(Exec { header: header(Kind::Exec, 10), task: task(10, 1000) })));
    assert_eq!(table.get(10).unwrap().comm, "sh\\u{1b}");
}

#[test]
fn kernel_threads_and_the_dead_are_dropped() {
    let source = Fake { resident: [(2, 0), (10, 1)].into(), ..Fake::default() };
    let mut table = ProcessTable::default();
    table.seed(&[2, 10, 77], &source, SECOND);
    assert_eq!(table.iter().map(|process| process.pid).collect::<Vec<_>>(), [10]);
}
