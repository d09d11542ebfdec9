//! What containers can cause as often as they like: signals, and cgroups in a subtree that is delegated to them.

use std::time::Instant;

use memtrace::{oom::exit::ExitKind, snapshot::Tracer};
use memtrace_common::{
    budget::{Bucket, CGROUPS_OF_ONE, SIGNALS_OF_PAIR},
    counter::Counter,
};
use rustix::process::Signal;

use crate::{
    afterwards::{Held, it_is_well, nothing_is_left},
    files::compile,
    fixture::{
        PATIENCE,
        cgroup::Cgroup,
        daemon::{Daemon, Place},
        eventually,
        program::Program,
    },
    processes::ends_of,
};

/// Facts over the budget: so many that they are a flood, whatever comes from other programs of this machine.
const MANY: u64 = 5_000;

/// `flood` in this group, which has begun.
pub fn flood(group: &Cgroup, what: &str) -> Program {
    let program =
        Program::shell(&format!("exec {} {} {what}", compile("flood", &[]).display(), group.directory()));
    program.ready();
    program
}

fn lost(tracer: &Tracer, counter: Counter) -> u64 {
    tracer.losses.iter().find(|loss| loss.name == counter.name()).map_or(0, |loss| loss.count)
}

fn until_over_budget(daemon: &Daemon<'_>, counter: Counter) {
    eventually("many are over the budget", PATIENCE, || {
        (lost(&daemon.tracer(), counter) > MANY).then_some(())
    });
}

/// Lets `what` go on until much of it was over the budget and a kill elsewhere is recorded. Of each of its two kinds no
/// more came through than the budget allows for the time that it took.
fn is_cut_off(what: &str, counter: Counter, budget: &Bucket) {
    let place = Place::new();
    let daemon = place.start(&[]);
    it_is_well(&place);
    let (group, held, before) = (Cgroup::new(), Held::by(&daemon), daemon.tracer());
    let begun = Instant::now();
    let mut program = flood(&group, what);
    until_over_budget(&daemon, counter);
    it_is_well(&place);
    program.go_on();
    let did = u64::from(program.number("did "));
    let took = u64::try_from(begun.elapsed().as_nanos()).unwrap();
    program.end();
    // What is counted is shown with the next snapshot.
    daemon.looks(2);
    let after = daemon.tracer();
    let over = lost(&after, counter) - lost(&before, counter);
    let (passed, most) = (did.saturating_sub(over), 2 * budget.most_in(took));
    println!(
        "{did} {what}, {passed} passed of at most {most}, {} wakeups, {} events",
        after.wakeups - before.wakeups,
        after.events - before.events
    );
    assert!(passed <= most, "{passed} of {did} passed, at most {most} should");
    for full in [Counter::KillsFull, Counter::SignalsFull] {
        assert_eq!(lost(&after, full), lost(&before, full), "{full:?}");
    }
    it_is_well(&place);
    nothing_is_left(&daemon, &held);
}

#[test]
fn a_container_that_signals_itself_all_the_time_is_cut_off() {
    is_cut_off("signals", Counter::SignalsThrottled, &SIGNALS_OF_PAIR);
}

#[test]
fn a_container_that_makes_and_removes_cgroups_all_the_time_is_cut_off() {
    is_cut_off("cgroups", Counter::CgroupsThrottled, &CGROUPS_OF_ONE);
}

/// Its budget is used up, for SIGKILL as well, but those who end it have their own.
#[test]
fn who_killed_a_container_is_known_whatever_it_sent_itself() {
    for what in ["kills", "signals"] {
        let place = Place::new();
        let daemon = place.start(&[]);
        it_is_well(&place);
        let (group, held) = (Cgroup::new(), Held::by(&daemon));
        let program = flood(&group, what);
        until_over_budget(&daemon, Counter::SignalsThrottled);
        program.signal(Signal::KILL);
        let end =
            eventually("its end is stored", PATIENCE, || ends_of(&place, program.pid()).into_iter().next());
        assert_eq!((end.kind, end.signal), (ExitKind::Killed, Some(9)), "{what}");
        assert_eq!(end.sender.and_then(|sender| sender.pid), Some(std::process::id()), "{what}");
        it_is_well(&place);
        nothing_is_left(&daemon, &held);
    }
}
