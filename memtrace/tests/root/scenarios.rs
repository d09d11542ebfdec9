//! Why it was killed: programs that die in each of the ways that memtrace tells apart, each in a cgroup of its own.
//!
//! The program is always the same one; what it does is in its memory, and in nothing that it is called.

mod answers;
mod at_once;
mod books;
mod exits;
mod growth;
mod heaps;
mod kinds;
mod limit_watch;
mod shared;
mod thrash;

use std::{
    thread,
    time::{Duration, Instant},
};

use memtrace::{
    oom::{
        cause::{Cause, CauseKind},
        record::OomRecord,
    },
    snapshot::ProcessRow,
    units::Grade,
    verdict::Confidence,
};

use crate::fixture::{cgroup::Cgroup, daemon::Place, eventually, program::Program};

/// Looks of the daemon, one a second: the rules want three seconds of calm.
const CALM: usize = 6;
/// And eight to tell that there is no room.
const LONG_CALM: usize = 12;
/// Nothing grows for longer.
const LONGEST: Duration = Duration::from_secs(600);

/// Has the program take a step every half second until it is dead.
fn step_by_step(program: &mut Program) {
    until_dead(program, |program| {
        program.try_go_on();
        thread::sleep(Duration::from_millis(500));
    });
}

/// The same at any pace; how many steps it took.
fn until_dead(program: &mut Program, mut step: impl FnMut(&mut Program)) -> usize {
    let (begin, mut taken) = (Instant::now(), 0);
    while !program.has_ended() {
        assert!(begin.elapsed() < LONGEST, "nobody killed it in {LONGEST:?}");
        step(program);
        taken += 1;
    }
    taken
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

/// Waits until the daemon has looked often and always seen the program with at least so many resident bytes.
fn calm(place: &Place, program: &Program, bytes: u64) {
    calm_for(CALM, place, program, bytes);
}

/// Waits until the daemon has read the program's page tables.
fn known(place: &Place, program: &Program) {
    eventually("its page tables were read", LONGEST, || {
        let snapshot = place.top();
        let row = snapshot.processes.iter().find(|row| row.pid == program.pid())?;
        row.memory.is_some().then_some(())
    });
}

fn calm_for(looks: usize, place: &Place, program: &Program, bytes: u64) {
    let (mut seen, mut last) = (0, None);
    eventually("the daemon has seen the program in calm", LONGEST, || {
        let snapshot = place.top();
        if last.is_none_or(|last| snapshot.time > last) {
            last = Some(snapshot.time);
            let mut rows = snapshot.processes.iter();
            // It joins its group by itself; on a slow machine after the daemon has looked where it is.
            let is_in_group =
                |row: &ProcessRow| row.cgroup.as_ref().is_some_and(|cgroup| cgroup.contains("memtrace-test"));
            let is_large = rows.any(|row| {
                row.pid == program.pid()
                    && row.rss_bytes.is_some_and(|rss| rss.0 >= bytes)
                    && is_in_group(row)
            });
            seen = if is_large { seen + 1 } else { 0 };
        }
        (seen > looks).then_some(())
    });
}
