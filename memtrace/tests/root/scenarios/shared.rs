//! Who was killed and who was not: neighbours, ancestors, children, threads.

use memtrace::oom::cause::CauseKind;

use super::{assert_parties, calm, judged, step_by_step, until_dead};
use crate::fixture::{cgroup::Cgroup, daemon::Place, mib, program::Program};

#[test]
fn a_neighbour_in_the_same_pod() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let pod = Cgroup::new().limit(mib(64));
    let (still, greedy) = (pod.child("still"), pod.child("greedy"));
    let victim = Program::eat(&["cgroup", still.directory(), "adj", "500", "touch", "32", "wait"]);
    victim.ready();
    let mut other = Program::eat(&["cgroup", greedy.directory(), "touch", "8", "wait", "each", "1"]);
    other.ready();
    calm(&place, &other, mib(8));
    let mut victim = victim;
    until_dead(&mut victim, |_| {
        other.try_go_on();
        std::thread::sleep(std::time::Duration::from_millis(250));
    });
    let (record, cause) = judged(&place, victim.pid(), CauseKind::Neighbour);
    assert_parties(&record, &pod, (victim.pid(), &still), (other.pid(), &greedy));
    assert!(cause.sentence.contains(greedy.path()), "{}", cause.sentence);
}

#[test]
fn a_limit_three_levels_up() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let top = Cgroup::new().limit(mib(48));
    let (middle, low);
    middle = top.child("b");
    // A limit on the way that is not the one that is hit.
    low = middle.child("c").limit(mib(256));
    let own = low.child("d");
    let mut program = Program::eat(&["cgroup", own.directory(), "touch", "12", "wait", "each", "2"]);
    program.ready();
    calm(&place, &program, mib(12));
    step_by_step(&mut program);
    let (record, _) = judged(&place, program.pid(), CauseKind::Leak);
    let party = (program.pid(), &own);
    assert_parties(&record, &top, party, party);
}

/// The container goes on, and Kubernetes says nothing.
#[test]
fn a_child_is_killed_and_the_first_process_lives() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let group = Cgroup::new().limit(mib(64));
    let mut program =
        Program::eat(&["cgroup", group.directory(), "touch", "8", "wait", "fork", "adj", "900", "grow"]);
    program.ready();
    calm(&place, &program, mib(8));
    program.go_on();
    let child = program.number("child ");
    let (record, _) = judged(&place, child, CauseKind::Burst);
    assert_parties(&record, &group, (child, &group), (child, &group));
    let processes = &record.circumstances.processes;
    let first =
        processes.iter().find(|process| process.task.pid == Some(program.pid())).expect("it is listed");
    assert!(!first.is_victim);
}

#[test]
fn a_thread_that_is_not_the_first() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let group = Cgroup::new().limit(mib(64));
    let program = Program::eat(&["cgroup", group.directory(), "worker", "tid", "grow"]);
    let tid = program.number("tid ");
    let (record, _) = judged(&place, tid, CauseKind::StartUp);
    assert_ne!(tid, program.pid());
    let party = (program.pid(), &group);
    assert_parties(&record, &group, party, party);
}
