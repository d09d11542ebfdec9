//! How usage came to the limit: slowly, at once, at the start, or because it always was there.

use memtrace::oom::cause::CauseKind;

use super::{LONG_CALM, assert_parties, calm, calm_for, judged, step_by_step};
use crate::fixture::{PATIENCE, cgroup::Cgroup, daemon::Place, eventually, mib, program::Program};

#[test]
fn a_slow_leak() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let group = Cgroup::new().limit(mib(64));
    let mut program = Program::eat(&["cgroup", group.directory(), "touch", "12", "wait", "each", "2"]);
    program.ready();
    calm(&place, &program, mib(12));
    step_by_step(&mut program);
    let (record, _) = judged(&place, program.pid(), CauseKind::Leak);
    let party = (program.pid(), &group);
    assert_parties(&record, &group, party, party);
    let memory = record.circumstances.victim_memory.expect("its page tables were read");
    let held: u64 = memory.arenas.iter().map(|row| row.resident_bytes.0).sum();
    let rss = record.victim.memory.anon_bytes.unwrap().0 + record.victim.memory.file_bytes.unwrap().0;
    assert!(held.abs_diff(rss) <= rss / 20, "arenas {held}, resident {rss}");
    // It is dead, and so is the way to its file.
    let place = &place;
    let name = eventually("the function that grew has its name", PATIENCE, || {
        let record = place.record(program.pid());
        let stacks = record.circumstances.victim_memory?.growth_stacks;
        stacks.iter().find_map(|stack| stack.own_frame()?.symbol.clone())
    });
    assert!(["touch", "each", "run", "main"].contains(&name.as_str()), "{name}");
}

/// Between two looks of the daemon: only the kernel and the sampled faults saw it.
#[test]
fn a_burst_in_less_than_a_second() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let group = Cgroup::new().limit(mib(64));
    let mut program = Program::eat(&["cgroup", group.directory(), "touch", "16", "wait", "grow"]);
    program.ready();
    calm(&place, &program, mib(16));
    program.go_on();
    let (record, _) = judged(&place, program.pid(), CauseKind::Burst);
    let party = (program.pid(), &group);
    assert_parties(&record, &group, party, party);
    let memory = record.circumstances.victim_memory.expect("its page tables were read");
    let held: u64 = memory.arenas.iter().map(|row| row.resident_bytes.0).sum();
    assert!(held >= mib(50), "what was touched since the last look is in the arenas: {held}");
    assert!(!memory.growth_stacks.is_empty());
}

#[test]
fn a_steady_state_just_under_the_limit() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let group = Cgroup::new().limit(mib(64));
    let mut program = Program::eat(&["cgroup", group.directory(), "touch", "57", "wait", "grow"]);
    program.ready();
    calm_for(LONG_CALM, &place, &program, mib(57));
    program.go_on();
    let (record, cause) = judged(&place, program.pid(), CauseKind::LimitTooTight);
    let party = (program.pid(), &group);
    assert_parties(&record, &group, party, party);
    assert!(cause.remedies[0].setting.is_some());
}

#[test]
fn a_kill_at_start_up() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let group = Cgroup::new().limit(mib(64));
    let program = Program::eat(&["cgroup", group.directory(), "grow"]);
    let (record, _) = judged(&place, program.pid(), CauseKind::StartUp);
    let party = (program.pid(), &group);
    assert_parties(&record, &group, party, party);
}

/// v1 does not kill at the write: the next page is too much. Nobody is seen to write, so nobody is accused.
#[test]
fn a_limit_lowered_from_outside() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let group = Cgroup::new().limit(mib(64));
    let mut program = Program::eat(&["cgroup", group.directory(), "touch", "40", "wait", "grow"]);
    program.ready();
    calm(&place, &program, mib(40));
    group.set_limit(mib(43));
    program.go_on();
    let (record, cause) = judged(&place, program.pid(), CauseKind::LimitLowered);
    let party = (program.pid(), &group);
    assert_parties(&record, &group, party, party);
    assert!(cause.sentence.contains("from 64.0 MiB to 43.0 MiB"), "{}", cause.sentence);
}
