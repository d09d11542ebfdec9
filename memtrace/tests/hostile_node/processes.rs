//! Processes that are taken for others, and signals that hide others.

use std::{
    fs,
    process::{Child, Command},
};

use jiff::Timestamp;
use memtrace::{
    oom::exit::{ExitKind, ExitRecord},
    store::{Filter, Store},
};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    afterwards::{Held, it_is_well, nothing_is_left},
    fixture::{PATIENCE, cgroup::Cgroup, daemon::Place, eventually, mib, program::Program},
};

const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";

/// The ends of this pid, newest first.
pub fn ends_of(place: &Place, pid: u32) -> Vec<ExitRecord> {
    let Ok(store) = Store::open_read_only(&place.state()) else { return Vec::new() };
    let exits = store.exits(&Filter::default()).unwrap();
    exits.into_iter().filter(|exit| exit.task.pid == Some(pid)).collect()
}

/// A process with this pid. Others come and go meanwhile, so it is tried until it is ours.
fn with_pid(pid: u32) -> Child {
    eventually("the pid is used again", PATIENCE, || {
        fs::write(LAST_PID, (pid - 1).to_string()).unwrap();
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        if child.id() == pid {
            return Some(child);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        None
    })
}

#[test]
fn a_pid_that_is_used_again_is_another_process() {
    let place = Place::new();
    let daemon = place.start(&[]);
    it_is_well(&place);
    let held = Held::by(&daemon);
    let group = Cgroup::new().limit(mib(64));
    let mut victim = Program::eat(&["cgroup", group.directory(), "grow"]);
    let pid = victim.pid();
    victim.end();
    let outcome = eventually("the record has its outcome", PATIENCE, || {
        place.record(pid).circumstances.outcome.filter(|outcome| outcome.ended.is_some())
    });
    // Ids of records have the second in them; no machine comes round to a pid within one.
    let ended = outcome.ended.unwrap().as_second();
    eventually("the next second", PATIENCE, || (Timestamp::now().as_second() > ended).then_some(()));
    let mut next = with_pid(pid);
    kill_process(Pid::from_child(&next), Signal::TERM).unwrap();
    next.wait().unwrap();
    let ends = eventually("the end of the next is stored", PATIENCE, || {
        Some(ends_of(&place, pid)).filter(|ends| ends.len() == 2)
    });
    assert_eq!((ends[0].signal, ends[0].oom_record.as_ref()), (Some(15), None), "{}", ends[0].sentence);
    assert_eq!(ends[0].sender.as_ref().and_then(|sender| sender.pid), Some(std::process::id()));
    assert_eq!(ends[1].oom_record, Some(place.record(pid).id));
    assert_eq!(place.record(pid).circumstances.outcome, Some(outcome), "it is as it was");
    it_is_well(&place);
    nothing_is_left(&daemon, &held);
}

/// As a JVM does, which lives on SIGSEGV.
#[test]
fn signals_that_are_handled_do_not_hide_who_sent_the_last() {
    let place = Place::new();
    let daemon = place.start(&[]);
    it_is_well(&place);
    let held = Held::by(&daemon);
    let program = Program::shell(
        "trap : SEGV; n=0; while [ $n -lt 50 ]; do kill -SEGV $$; n=$((n + 1)); done; echo ready; read line",
    );
    assert_eq!(program.line(), "ready");
    program.signal(Signal::KILL);
    let end = eventually("its end is stored", PATIENCE, || ends_of(&place, program.pid()).into_iter().next());
    assert_eq!((end.kind, end.signal), (ExitKind::Killed, Some(9)));
    assert_eq!(end.sender.and_then(|sender| sender.pid), Some(std::process::id()));
    it_is_well(&place);
    nothing_is_left(&daemon, &held);
}
