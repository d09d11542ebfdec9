//! A full disk: the kill is in the log at once, and in the store as soon as there is room. A deleted store: there is a new
//! one.

use std::fs;

use memtrace::oom::record::{OomRecord, circumstances::Circumstances};

use crate::fixture::{
    PATIENCE,
    cgroup::Cgroup,
    daemon::{Place, run},
    disk::Disk,
    eventually, mib,
    program::Program,
    said,
};

#[test]
fn a_kill_that_cannot_be_stored_is_printed_kept_and_stored_later() {
    let place = Place::new();
    let disk = Disk::at(place.state(), c"size=1m,mode=700");
    let daemon = place.start(&[]);
    let filler = disk.fill();
    let group = Cgroup::new().limit(mib(16));
    let mut program = Program::eat(&["cgroup", group.directory(), "grow"]);
    program.end();

    let printed = eventually("the record is in the log", PATIENCE, || {
        daemon.log().lines().find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            Some(line["fields"]["record"].as_str()?.to_owned())
        })
    });
    let printed: OomRecord = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed.victim.task.pid, Some(program.pid()));
    assert_eq!(printed.limit_owner.as_ref().unwrap().path.as_deref(), Some(group.path()));
    eventually("top shows it", PATIENCE, || (daemon.tracer().kills_not_stored == 1).then_some(()));
    assert_eq!(place.records(), []);

    fs::remove_file(filler).unwrap();
    let stored = place.record(program.pid());
    // How it ended is added once it is on disk.
    let without_end = |record: OomRecord| OomRecord {
        circumstances: Circumstances { outcome: None, ..record.circumstances },
        ..record
    };
    assert_eq!(without_end(stored), without_end(printed));
    eventually("top shows it", PATIENCE, || {
        let tracer = daemon.tracer();
        (tracer.kills_not_stored == 0 && tracer.kills == 1).then_some(())
    });
    let times = daemon.log().matches("failed to store an OOM kill").count();
    assert_eq!(times, 1, "it is printed once");
}

/// The file alone, and the whole directory with the lock.
#[test]
fn a_store_that_is_deleted_beneath_the_daemon_is_begun_anew() {
    let place = Place::new();
    let daemon = place.start(&[]);
    let kill = || {
        let group = Cgroup::new().limit(mib(16));
        let mut program = Program::eat(&["cgroup", group.directory(), "grow"]);
        program.end();
        place.record(program.pid())
    };
    kill();
    let renewed = |times: u64| {
        eventually("the loss is noticed", PATIENCE, || {
            (daemon.tracer().store.renewals == times).then_some(())
        })
    };
    fs::remove_file(place.state().join(memtrace::store::FILE)).unwrap();
    kill();
    renewed(1);
    fs::remove_dir_all(place.state()).unwrap();
    // Without a kill.
    renewed(2);
    kill();
    let store = daemon.tracer().store;
    assert_eq!(store.problem, None);
    assert!(store.last_renewal.is_some_and(|last| last.contains("deleted while it was open")));
    assert!(daemon.log().contains("opened the store again"), "{}", daemon.log());
    // The lock is held again.
    let output = run(&mut place.command(&["--no-backfill"]));
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("another daemon uses the state directory"), "{}", said(&output));
}
