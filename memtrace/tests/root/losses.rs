//! A daemon that is kept from reading: it loses only what it says, never a kill, and finds its way back.

use memtrace::units::Bytes;
use rustix::process::Signal;

use crate::fixture::{
    PATIENCE, cgroup::Cgroup, daemon::Place, eventually, kernel_log::KernelLog, mib, program::Program,
};

/// Pairs of mmap and munmap: some 130 bytes each, in a ring of a few MiB.
const PAIRS: &str = "200000";

#[test]
fn a_stopped_daemon_loses_events_says_so_and_recovers() {
    let place = Place::new();
    let daemon = place.start(&["--event-budget", "0"]);
    let group = Cgroup::new().limit(mib(16));
    let mut log = KernelLog::from_now();
    let mut grown = Program::eat(&["touch", "10", "wait", "touch", "60", "wait"]);
    grown.ready();
    let ended = Program::eat(&["touch", "20", "wait"]);
    ended.ready();
    for program in [&grown, &ended] {
        daemon.row("a process is seen", program.pid(), |row| row.rss_bytes > Some(Bytes(mib(9))));
    }

    daemon.signal(Signal::STOP);
    assert!(Program::eat(&["churn", PAIRS]).end().success());
    // From here on the ring is full: none of this can be in it.
    let gone = ended.pid();
    drop(ended);
    grown.go_on();
    grown.ready();
    let new = Program::eat(&["touch", "30", "wait"]);
    new.ready();
    let killed = Program::eat(&["cgroup", group.directory(), "grow"]);
    log.kill(killed.pid());
    daemon.signal(Signal::CONT);

    let record = place.record(killed.pid());
    assert_eq!(record.limit_owner.unwrap().path.as_deref(), Some(group.path()));
    eventually("the loss is shown", PATIENCE, || {
        daemon.tracer().losses.into_iter().find(|loss| loss.name == "stream_full" && loss.count > 0)
    });
    for program in [&grown, &new] {
        let resident = program.resident_bytes();
        daemon.row(&format!("the table is right for {}", program.pid()), program.pid(), |row| {
            row.rss_bytes.unwrap().0.abs_diff(resident) <= resident / 10
        });
    }
    eventually("a process that has ended is gone", PATIENCE, || {
        place.top().processes.iter().all(|row| row.pid != gone).then_some(())
    });
}
