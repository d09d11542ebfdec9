//! Why it was killed: programs that die in each of the ways that memtrace tells apart, each in a cgroup of its own.
//!
//! The program is always the same one; what it does is in its memory, and in nothing that it is called.

mod arming;
mod exits;
mod growth;
mod kinds;
mod shared;

use std::{
    thread,
    time::{Duration, Instant},
};

use memtrace::{
    oom::{
        cause::{Cause, CauseKind},
        record::OomRecord,
    },
    units::Grade,
    verdict::Confidence,
};

use crate::fixture::{cgroup::Cgroup, daemon::Place, eventually, program::Program};

/// Calm that is calm enough: the rules want three seconds of it, and the daemon looks once a second.
const CALM: Duration = Duration::from_secs(6);

/// Has the program take a step every half second until it is dead.
fn step_by_step(program: &mut Program) {
    let begin = Instant::now();
    while !program.has_ended() {
        assert!(begin.elapsed() < Duration::from_secs(60), "nobody killed it");
        program.try_go_on();
        thread::sleep(Duration::from_millis(500));
    }
}

/// The record of the kill of `pid`, whose cause must be this one and more than a guess.
fn judged(place: &Place, pid: u32, kind: CauseKind) -> (OomRecord, Cause) {
    let record = place.record(pid);
    let cause = record.circumstances.cause.clone().expect("a cause");
    let shown = serde_json::to_string_pretty(&record).unwrap();
    assert_eq!(cause.kind, kind, "{cause:#?}\n{shown}");
    assert!(cause.confidence >= Confidence::Medium, "{cause:#?}\n{shown}");
    assert!(!cause.sentence.is_empty() && !cause.evidence.is_empty(), "{cause:#?}");
    println!("{kind:?}: {}", cause.sentence);
    (record, cause)
}

/// Whose limit, who died, and who asked.
fn assert_parties(record: &OomRecord, owner: &Cgroup, victim: (u32, &Cgroup), trigger: (u32, &Cgroup)) {
    let limit = record.limit_owner.as_ref().expect("the owner is known");
    assert_eq!((limit.path.as_deref(), limit.grade), (Some(owner.path()), Grade::Read));
    let parties = [(&record.victim.task, victim), (&record.trigger.task, trigger)];
    for (task, (pid, group)) in parties {
        assert_eq!((task.pid, task.cgroup.as_deref()), (Some(pid), Some(group.path())));
    }
    assert_eq!(record.trigger.is_victim, victim.0 == trigger.0);
}

/// Waits until the daemon shows the program with at least so many resident bytes, then for a while longer.
fn calm(place: &Place, program: &Program, bytes: u64) {
    eventually("the daemon sees the program", crate::fixture::PATIENCE, || {
        let rows = place.top().processes;
        rows.into_iter()
            .find(|row| row.pid == program.pid() && row.rss_bytes.is_some_and(|rss| rss.0 >= bytes))
    });
    thread::sleep(CALM);
}
