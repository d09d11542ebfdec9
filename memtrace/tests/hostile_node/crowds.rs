//! Many at once: children, floods from several containers, and cgroups one inside the other.

use std::{fs, io::ErrorKind};

use crate::{
    afterwards::{Held, it_is_well, memory, nothing_is_left},
    files::compile,
    fixture::{PATIENCE, cgroup::Cgroup, daemon::Place, eventually, mib, program::Program},
};

/// `crowd` in this group, which has done what it does.
pub fn crowd(group: &Cgroup, what: &str) -> Program {
    let crowd = compile("crowd", &[]);
    let program = Program::shell(&format!(
        "echo $$ > {}/cgroup.procs; exec {} {what}",
        group.directory(),
        crowd.display()
    ));
    program.ready();
    program
}

#[test]
fn twenty_thousand_children_do_not_bloat_it() {
    let place = Place::new();
    let daemon = place.start(&[]);
    it_is_well(&place);
    let (held, before) = (Held::by(&daemon), memory(&daemon));
    let group = Cgroup::new();
    let program = crowd(&group, "children 20000");
    daemon.row("it is there", program.pid(), |row| row.rss_bytes.is_some());
    daemon.looks(3);
    it_is_well(&place);
    let grew = memory(&daemon).saturating_sub(before);
    println!("20,000 children: {} MiB more", grew / mib(1));
    assert!(grew < mib(160), "docs/limits.md: some 4 KiB for each: {grew}");
    drop((program, group));
    it_is_well(&place);
    nothing_is_left(&daemon, &held);
}

/// Each of ten containers sends more than it may; the others' kills and signals have budgets of their own.
#[test]
fn ten_containers_that_flood_at_once_hide_no_kill() {
    let place = Place::new();
    let daemon = place.start(&[]);
    it_is_well(&place);
    let held = Held::by(&daemon);
    let groups: Vec<Cgroup> = (0..10).map(|_| Cgroup::new()).collect();
    let kinds = ["signals", "cgroups"].into_iter().cycle();
    let programs: Vec<Program> =
        groups.iter().zip(kinds).map(|(group, kind)| crate::floods::flood(group, kind)).collect();
    for _ in 0..5 {
        it_is_well(&place);
    }
    drop(programs);
    drop(groups);
    nothing_is_left(&daemon, &held);
}

/// A name is shown so that a terminal does not obey it, and its kill is recorded where it was.
#[test]
fn a_cgroup_whose_name_is_hostile_is_recorded_and_shown_harmlessly() {
    let place = Place::new();
    let daemon = place.start(&[]);
    it_is_well(&place);
    let held = Held::by(&daemon);
    let parent = Cgroup::new();
    let line = fs::create_dir(format!("{}/a\nb", parent.directory()));
    assert_eq!(line.unwrap_err().kind(), ErrorKind::InvalidInput, "the kernel lets nobody have a line break");
    let long = "x".repeat(255);
    for name in ["\u{1b}[2J\u{1b}]0;owned\u{7}", "0::a b:c\\n", &long] {
        let group = parent.child(name).limit(mib(24));
        let victim = Program::eat(&["cgroup", group.directory(), "grow"]);
        let record = place.record(victim.pid());
        let path = record.victim.task.cgroup.as_deref().unwrap();
        assert!(path.starts_with(parent.path()) && !path.contains(char::is_control), "{path:?}");
        let reports = [
            crate::fixture::memtrace(&[
                "report",
                "show",
                &record.id,
                "--state-dir",
                place.state().to_str().unwrap(),
            ]),
            place.run_top(&["--by", "container"]),
        ];
        for report in reports {
            let text = String::from_utf8_lossy(&report.stdout).into_owned();
            assert!(!text.contains(['\u{1b}', '\u{7}']), "{text:?}");
        }
    }
    it_is_well(&place);
    nothing_is_left(&daemon, &held);
}

/// As deep as the kernel lets a container go in its own subtree.
#[test]
fn a_kill_deep_below_is_recorded() {
    let place = Place::new();
    let daemon = place.start(&[]);
    it_is_well(&place);
    let held = Held::by(&daemon);
    let mut groups = vec![Cgroup::new().limit(mib(24))];
    for _ in 0..40 {
        let next = groups.last().unwrap().child("deeper");
        groups.push(next);
    }
    let victim = Program::eat(&["cgroup", groups.last().unwrap().directory(), "grow"]);
    let record = place.record(victim.pid());
    assert!(record.chain.len() > 1 || !record.evidence.losses.is_empty(), "{:?}", record.chain);
    it_is_well(&place);
    eventually("the victim is gone", PATIENCE, || {
        groups.last().unwrap().processes().is_empty().then_some(())
    });
    while let Some(group) = groups.pop() {
        drop(group);
    }
    nothing_is_left(&daemon, &held);
}
