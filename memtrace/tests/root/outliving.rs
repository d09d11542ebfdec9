//! Kills while no daemon runs: the programs that stay attached record them, and the next daemon stores each once.

use std::{collections::HashSet, fs, process::Command};

use aya::programs::loaded_programs;
use memtrace::{
    api::doctor::Diagnosis,
    oom::record::{OomRecord, circumstances::Source},
    probe::table::{FACTS, OUTLIVING},
};
use rustix::process::Signal;

use crate::fixture::{
    PATIENCE, bpffs::Bpffs, cgroup::Cgroup, daemon::Place, eventually, memtrace, mib, program::Program, said,
};

/// A kill in this cgroup; returns the victim.
fn kill(group: &Cgroup) -> u32 {
    let mut program = Program::eat(&["cgroup", group.directory(), "adj", "321", "grow"]);
    program.end();
    program.pid()
}

fn of(place: &Place, tid: u32) -> Vec<OomRecord> {
    place.records().into_iter().filter(|record| record.victim.task.tid == tid).collect()
}

/// All that the kernel knew at that instant is in the record.
fn assert_is_whole(record: &OomRecord, group: &Cgroup, limit: u64) {
    assert_eq!(record.circumstances.source, Source::Live);
    assert_eq!(record.evidence.hook, "tp_btf:mark_victim");
    assert!(record.evidence.kill_signal_seen);
    let owner = record.limit_owner.as_ref().expect("the limit has an owner");
    assert_eq!(owner.path.as_deref(), Some(group.path()), "{owner:?}");
    assert_eq!(owner.limit_bytes.map(|bytes| bytes.0), Some(limit));
    assert_eq!(record.chain.first().and_then(|level| level.path.as_deref()), Some(group.path()));
    assert!(record.victim.memory.anon_bytes.is_some_and(|bytes| bytes.0 > limit / 2), "{record:?}");
    assert_eq!(record.victim.task.oom_score_adj, Some(321));
    assert!(record.trigger.is_victim);
    assert!(record.kernel_stack.iter().any(|frame| frame.symbol.is_some()), "{:?}", record.kernel_stack);
    assert!(!record.user_stack.is_empty());
}

/// Killed, and ended in the usual way.
#[test]
fn a_kill_while_no_daemon_runs_is_recorded_as_if_one_had() {
    for end in [Signal::KILL, Signal::TERM] {
        let bpffs = Bpffs::new();
        let place = Place::pinned(bpffs.path());
        let group = Cgroup::new().limit(mib(32));
        let mut daemon = place.start(&[]);
        let seen = kill(&group);
        place.record(seen);
        daemon.signal(end);
        daemon.end();
        drop(daemon);

        let missed = [kill(&group), kill(&group)];
        let daemon = place.start_with_backfill();
        for tid in missed {
            let record = place.record(tid);
            assert_is_whole(&record, &group, mib(32));
            // From the hook where there is one, else from the kernel log, which is not recorded once more.
            assert_eq!(record.circumstances.request.as_ref().and_then(|request| request.order), Some(0));
        }
        let last = kill(&group);
        place.record(last);
        for tid in [seen, missed[0], missed[1], last] {
            assert_eq!(of(&place, tid).len(), 1, "{tid} is recorded once");
        }
        eventually("the old pins are removed", PATIENCE, || (bpffs.sets().len() == 1).then_some(()));
        assert!(daemon.log().contains("found OOM kills that no daemon has stored"));
    }
}

/// Killed right after each kill, before or after it is stored, as it happens.
#[test]
fn a_daemon_that_is_killed_again_and_again_loses_and_doubles_nothing() {
    let bpffs = Bpffs::new();
    let place = Place::pinned(bpffs.path());
    let group = Cgroup::new().limit(mib(16));
    let mut victims = Vec::new();
    for _ in 0..5 {
        let mut daemon = place.start(&[]);
        victims.push(kill(&group));
        daemon.signal(Signal::KILL);
        daemon.end();
        victims.push(kill(&group));
    }
    let _daemon = place.start(&[]);
    for tid in &victims {
        assert_eq!(place.record(*tid).circumstances.source, Source::Live);
    }
    eventually("the old pins are removed", PATIENCE, || (bpffs.sets().len() == 1).then_some(()));
    for tid in victims {
        assert_eq!(of(&place, tid).len(), 1, "{tid} is recorded once");
    }
}

/// A daemon that a debugger stops and that is killed then: what is in its ring is not lost.
#[test]
fn a_daemon_that_was_stopped_and_killed_loses_nothing() {
    let bpffs = Bpffs::new();
    let place = Place::pinned(bpffs.path());
    let group = Cgroup::new().limit(mib(16));
    let mut daemon = place.start(&[]);
    daemon.signal(Signal::STOP);
    let missed = kill(&group);
    daemon.signal(Signal::KILL);
    daemon.end();
    drop(daemon);
    let _daemon = place.start(&[]);
    assert_is_whole(&place.record(missed), &group, mib(16));
}

/// More signals than their budget, while nobody reads their ring. A mark is still known to be a kill.
#[test]
fn signals_that_nobody_reads_hide_no_kill() {
    let bpffs = Bpffs::new();
    let place = Place::pinned(bpffs.path());
    let group = Cgroup::new().limit(mib(16));
    let mut daemon = place.start(&[]);
    daemon.signal(Signal::KILL);
    daemon.end();
    drop(daemon);
    for _ in 0..300 {
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let missed = kill(&group);
    let _daemon = place.start(&[]);
    assert_is_whole(&place.record(missed), &group, mib(16));
}

/// More than one commit stores, in a cgroup that is gone when the next daemon starts.
#[test]
fn hundreds_of_kills_while_no_daemon_runs_are_recorded_once() {
    const KILLS: usize = 300;
    let bpffs = Bpffs::new();
    let place = Place::pinned(bpffs.path());
    let mut daemon = place.start(&[]);
    daemon.signal(Signal::KILL);
    daemon.end();
    drop(daemon);
    let group = Cgroup::new().limit(mib(4));
    let path = group.path().to_owned();
    let mut storm = Program::eat(&["children-in", group.directory(), "storm", &KILLS.to_string()]);
    let dead: HashSet<u32> = storm.lines().iter().map(|line| line.parse().unwrap()).collect();
    assert!(storm.end().success());
    assert_eq!(dead.len(), KILLS);
    drop(group);

    let _daemon = place.start(&[]);
    let of_storm = || -> Vec<OomRecord> {
        place.records().into_iter().filter(|record| dead.contains(&record.victim.task.tid)).collect()
    };
    let records =
        eventually("all are stored", PATIENCE, || Some(of_storm()).filter(|records| records.len() >= KILLS));
    let distinct: HashSet<u32> = records.iter().map(|record| record.victim.task.tid).collect();
    assert_eq!((records.len(), distinct.len()), (KILLS, KILLS), "all, and none twice");
    for record in &records {
        assert_eq!(record.circumstances.source, Source::Live);
        assert_eq!(record.victim.task.cgroup.as_deref(), Some(path.as_str()));
    }
    eventually("the old pins are removed", PATIENCE, || (bpffs.sets().len() == 1).then_some(()));
}

/// A ring of another layout is counted and replaced; the kernel log has the kill.
#[test]
fn the_ring_of_another_version_is_replaced() {
    let bpffs = Bpffs::new();
    let place = Place::pinned(bpffs.path());
    let group = Cgroup::new().limit(mib(16));
    let mut daemon = place.start(&[]);
    daemon.signal(Signal::KILL);
    daemon.end();
    drop(daemon);
    let missed = kill(&group);
    let [set] = bpffs.sets().try_into().unwrap();
    fs::rename(&set, set.with_file_name("v4294967295-1")).unwrap();
    let daemon = place.start_with_backfill();
    assert_eq!(place.record(missed).circumstances.source, Source::KernelLog);
    assert!(daemon.log().contains("another version of memtrace"), "{}", daemon.log());
    let losses = daemon.tracer().losses;
    assert!(losses.iter().any(|loss| loss.name == "undecodable" && loss.count >= 1), "{losses:?}");
    eventually("it is replaced", PATIENCE, || (bpffs.sets().len() == 1).then_some(()));
    let next = kill(&group);
    assert_eq!(place.record(next).circumstances.source, Source::Live);
}

/// The programs that stay attached, of all daemons on this node, by id.
fn attached() -> HashSet<u32> {
    let names: Vec<&str> = FACTS
        .iter()
        .filter(|fact| OUTLIVING.contains(&fact.name))
        .flat_map(|fact| fact.hooks)
        .map(|hook| hook.program)
        .collect();
    let is_one = |name: &str| names.iter().any(|full| full.get(..15).unwrap_or(full) == name);
    let programs = loaded_programs().map(|program| program.unwrap());
    programs.filter(|program| program.name_as_str().is_some_and(is_one)).map(|program| program.id()).collect()
}

#[test]
fn unpin_leaves_nothing() {
    let before = attached();
    let bpffs = Bpffs::new();
    let place = Place::pinned(bpffs.path());
    let unpin = || memtrace(&["daemon", "--unpin", "--bpffs", bpffs.path().to_str().unwrap()]);
    let mut daemon = place.start(&[]);
    let own: HashSet<u32> = attached().difference(&before).copied().collect();
    assert!(!own.is_empty());
    let output = unpin();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("stop their daemons first"), "{}", said(&output));
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().code(), Some(0));
    drop(daemon);
    let left: HashSet<u32> = own.intersection(&attached()).copied().collect();
    assert!(!left.is_empty(), "of {own:?} none stays attached");
    kill(&Cgroup::new().limit(mib(16)));

    let output = unpin();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = said(&output);
    assert!(text.contains("sets of pinned programs removed: 1;") && !text.contains("stored: 0"), "{text}");
    // The kernel itself may have files there.
    assert!(!fs::exists(bpffs.path().join("memtrace")).unwrap());
    eventually("the programs are gone", PATIENCE, || own.is_disjoint(&attached()).then_some(()));
    assert_eq!(unpin().status.code(), Some(0), "there is nothing to remove");
}

#[test]
fn without_bpffs_it_works_and_doctor_says_what_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place::pinned(directory.path());
    let _daemon = place.start(&[]);
    place.record(kill(&Cgroup::new().limit(mib(16))));
    let doctor = |bpffs: &str| {
        let output = memtrace(&["doctor", "-o", "json", "--bpffs", bpffs]);
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice::<Diagnosis>(&output.stdout).unwrap().probes.outliving
    };
    let none = doctor(directory.path().to_str().unwrap());
    assert_eq!(none.directory, None);
    assert!(none.lost[0].contains("mount -t bpf"), "{none:?}");
    let bpffs = Bpffs::new();
    let there = doctor(bpffs.path().to_str().unwrap());
    assert!(there.directory.is_some_and(|directory| directory.ends_with("/memtrace")));
    assert_eq!(there.lost, [] as [&str; 0], "this kernel keeps all of them");
    assert_eq!(bpffs.sets().len(), 0, "doctor pins nothing");
}
