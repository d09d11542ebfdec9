//! What is near its limit is looked at before the kill: arenas and counters in the record are of then, not of the last tick.

use std::{
    collections::BTreeMap,
    fs, thread,
    time::{Duration, Instant},
};

use memtrace::oom::record::circumstances::VictimMemory;

use super::{calm, until_dead};
use crate::fixture::{PATIENCE, cgroup::Cgroup, daemon::Place, eventually, mib, program::Program};

/// Calm at 24 MiB of malloc and 12 of mmap, then it takes a MiB at every line.
fn steps(group: &Cgroup) -> Vec<&str> {
    vec!["cgroup", group.directory(), "fragments", "24", "touch", "12", "wait", "each", "1"]
}

/// A program that has 36 of the 64 MiB that it may have, known to the daemon.
fn in_calm(place: &Place) -> (Cgroup, Program) {
    let group = Cgroup::new().limit(mib(64));
    let program = Program::eat(&steps(&group));
    program.ready();
    calm(place, &program, mib(30));
    (group, program)
}

/// From three fifths of the limit to all of it in less than a second, between two ticks.
#[test]
fn a_burst_is_looked_at_before_it_ends() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let (_group, mut program) = in_calm(&place);
    let begun = Instant::now();
    until_dead(&mut program, |program| {
        program.try_go_on();
        thread::sleep(Duration::from_millis(25));
    });
    // However long it took: it was looked at since it began.
    let part = begun.elapsed().as_secs_f64();
    let memory = place.record(program.pid()).circumstances.victim_memory.expect("it was read");
    let VictimMemory { scan_age_seconds, counters, counters_age_seconds, samples, .. } = &memory;
    println!(
        "the burst: {part} s; page tables {scan_age_seconds:?} s before, counters {counters_age_seconds:?} s: {counters:?}"
    );
    assert!(scan_age_seconds.is_some_and(|age| age < part), "{scan_age_seconds:?}");
    assert!(counters_age_seconds.is_some_and(|age| age < part), "{counters_age_seconds:?}");
    assert!(!counters.is_empty());
    assert!(samples.is_some(), "how many samples came since is known");
}

/// Resident bytes by what smaps calls each mapping.
fn smaps(pid: u32) -> BTreeMap<String, u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let (mut sums, mut name) = (BTreeMap::new(), String::new());
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap();
        if let Some(kib) = line.strip_prefix("Rss:") {
            let kib: u64 = kib.trim().trim_end_matches(" kB").parse().unwrap();
            *sums.entry(name.clone()).or_default() += kib << 10;
        } else if first.contains('-') && !first.ends_with(':') {
            name = words.nth(4).unwrap_or("anonymous").to_owned();
        }
    }
    sums
}

#[test]
fn arenas_at_the_kill_are_those_of_a_twin_held_there() {
    let place = Place::new();
    let daemon = place.start(&[]);
    let (_group, mut program) = in_calm(&place);
    let mut steps = 0;
    let taken = until_dead(&mut program, |program| {
        program.try_go_on();
        steps += 1;
        // Its last steps are as slow as the daemon: how late it is on a slow machine is not what this is about.
        if steps > 16 { daemon.looks(1) } else { thread::sleep(Duration::from_millis(100)) }
    });
    let record = place.record(program.pid());
    let memory = record.circumstances.victim_memory.as_ref().expect("it was read");

    let room = Cgroup::new().limit(mib(96));
    let mut twin = Program::eat(&self::steps(&room));
    twin.ready();
    (0..=taken).for_each(|_| twin.go_on());
    let held = record.victim.memory.rss().unwrap().0;
    let mut last = 0;
    eventually("the twin is as large and rests", PATIENCE, || {
        let now = twin.resident_bytes();
        (std::mem::replace(&mut last, now) == now && now + mib(2) >= held).then_some(())
    });
    let truth = smaps(twin.pid());
    let arenas = |allocator: &str| -> u64 {
        let rows = memory.arenas.iter().filter(|row| row.allocator == allocator);
        rows.map(|row| row.resident_bytes.0).sum()
    };
    let all = memory.arenas.iter().map(|row| row.resident_bytes.0).sum();
    for (what, seen, true_bytes) in [
        ("heap of glibc", arenas("glibc"), truth["[heap]"]),
        ("other anonymous", arenas("unattributed"), truth["anonymous"]),
        ("all", all, truth.values().sum()),
    ] {
        let off = (seen as f64 - true_bytes as f64) / true_bytes as f64 * 100.0;
        println!("{what}: {seen} in the record, {true_bytes} in smaps of the twin, {off:+.1} %");
        assert!(off.abs() <= 5.0, "{what}: {:#?} {truth:#?}", memory.arenas);
    }
}
