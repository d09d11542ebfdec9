//! Deaths that are not OOM kills: no record of one, and the truth about who or what ended each.

use std::process::Command;

use memtrace::{
    oom::exit::{ExitKind, ExitRecord},
    store::{Filter, Store, StoreError},
};
use rustix::process::Signal;

use crate::fixture::{
    PATIENCE, cgroup::Cgroup, daemon::Place, eventually, freezer::Freezer, mib, program::Program, tree::tree,
};

fn exit_of(place: &Place, pid: u32) -> ExitRecord {
    eventually(&format!("the end of {pid} is stored"), PATIENCE, || {
        let store = match Store::open_read_only(&place.state()) {
            Ok(store) => store,
            Err(StoreError::Missing { .. }) => return None,
            Err(error) => panic!("failed to open the store: {error}"),
        };
        store.exits(&Filter::default()).unwrap().into_iter().find(|exit| exit.task.pid == Some(pid))
    })
}

/// A program that ends as its steps say, in a group of its own; what was recorded of that.
fn end_of(place: &Place, steps: &[&str]) -> ExitRecord {
    let group = Cgroup::new().limit(mib(64));
    let mut program = Program::eat(&[&["cgroup", group.directory()], steps].concat());
    program.end();
    exit_of(place, program.pid())
}

#[test]
fn ends_that_look_like_oom_kills_and_are_none() {
    let place = Place::new();
    let _daemon = place.start(&[]);

    let by_choice = end_of(&place, &["exit", "137"]);
    assert_eq!((by_choice.kind, by_choice.exit_code, by_choice.signal), (ExitKind::Exited, Some(137), None));
    assert!(by_choice.sentence.contains("by itself"), "{}", by_choice.sentence);

    let aborted = end_of(&place, &["abort"]);
    assert_eq!((aborted.kind, aborted.signal), (ExitKind::Aborted, Some(6)));
    let refused = end_of(&place, &["refuse", "256"]);
    assert_eq!((refused.kind, refused.signal), (ExitKind::FailedAllocation, Some(6)));
    // malloc tries a mapping of its own, and then a larger arena: each was refused.
    let after = ["refused it 256.", "refused it 257."];
    assert!(after.iter().any(|after| refused.sentence.contains(after)), "{}", refused.sentence);
    let segfault = end_of(&place, &["segv"]);
    assert_eq!((segfault.kind, segfault.signal), (ExitKind::Segfault, Some(11)));

    let program = Program::eat(&["wait"]);
    program.ready();
    program.signal(Signal::KILL);
    let killed = exit_of(&place, program.pid());
    assert_eq!((killed.kind, killed.signal), (ExitKind::Killed, Some(9)));
    assert_eq!(killed.sender.and_then(|sender| sender.pid), Some(std::process::id()));

    let program = Program::eat(&["wait"]);
    program.ready();
    let mut shell =
        Command::new("sh").args(["-c", &format!("kill -9 {}; :", program.pid())]).spawn().unwrap();
    let by_shell = exit_of(&place, program.pid());
    assert_eq!(by_shell.sender.as_ref().and_then(|sender| sender.pid), Some(shell.id()));
    assert!(by_shell.sentence.contains("somebody's command; no OOM kill"), "{}", by_shell.sentence);
    shell.wait().unwrap();

    assert!(place.records().is_empty(), "none of them is an OOM kill");
}

#[test]
fn an_oom_kill_and_its_end_agree() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let end = end_of(&place, &["grow"]);
    let record = place.record(end.task.pid.unwrap());
    assert_eq!((end.kind, end.oom_record.as_ref()), (ExitKind::OomKill, Some(&record.id)));
    let outcome = eventually("the record has its outcome", PATIENCE, || {
        place.record(end.task.pid.unwrap()).circumstances.outcome
    });
    assert_eq!((outcome.signal, outcome.exit_code), (Some(9), None));
}

/// Whom the kernel picks is on its way out already: it is marked, nobody is killed.
#[test]
fn a_mark_that_kills_nobody() {
    let place = Place::new();
    let daemon = place.start(&[]);
    let (group, freezer) = (Cgroup::new().limit(mib(64)), Freezer::new());
    let before = daemon.tracer().bare_marks;
    let steps =
        ["cgroup", group.directory(), "cgroup", freezer.directory(), "adj", "1000", "touch", "40", "wait"];
    let mut dying = Program::eat(&steps);
    dying.ready();
    freezer.freeze();
    dying.signal(Signal::KILL);
    // The limit is met, and the mark thaws the other so that it can go.
    let mut other = Program::eat(&["cgroup", group.directory(), "touch", "40", "exit", "7"]);
    assert_eq!(other.end().code(), Some(7), "there is room again");
    assert!(!dying.end().success());
    let kills = group.oom_kills();
    assert_eq!(kills, 0, "the kernel counts no kill");
    let marks = || Some(daemon.tracer().bare_marks).filter(|marks| *marks > before);
    let marks = eventually("the mark was seen", PATIENCE, marks);
    assert_eq!(marks, before + 1);
    let end = exit_of(&place, dying.pid());
    assert_eq!((end.kind, end.signal, end.oom_record), (ExitKind::Killed, Some(9), None));
    assert_eq!(end.sender.and_then(|sender| sender.pid), Some(std::process::id()));
    assert!(place.records().is_empty(), "a mark is no kill");
}

/// A well-known program that kills before the kernel has to; it sees nobody but its victim.
#[test]
fn earlyoom_is_named() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let group = Cgroup::new().limit(mib(256));
    let (eat, tree) = (Program::eat_path(), tree());
    // The limits of memory and swap that it is given are always met.
    let inside = format!(
        "sleep 1000 | {eat} cgroup {} touch 50 wait & read go; exec {tree}/usr/bin/earlyoom -m 99,99 -s 100,100",
        group.directory()
    );
    let script = format!("exec unshare --pid --fork --kill-child --mount-proc sh -c '{inside}' 2> /dev/null");
    let mut earlyoom = Program::shell(&script);
    earlyoom.ready();
    let [victim] = group.processes()[..] else { panic!("the victim is alone in its group") };
    earlyoom.go_on();
    let end = exit_of(&place, victim);
    earlyoom.signal(Signal::KILL);
    earlyoom.end();
    assert_eq!((end.kind, end.signal), (ExitKind::Killed, Some(9)), "{end:#?}");
    assert_eq!(end.sender.as_ref().map(|sender| sender.comm.as_str()), Some("earlyoom"), "{end:#?}");
    assert!(end.sentence.contains("earlyoom"), "{}", end.sentence);
    assert!(place.records().is_empty(), "it is no OOM kill");
}
