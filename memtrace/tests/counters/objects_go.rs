//! What fills a Go heap, against the profile that the program takes of itself.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use memtrace::allocator::objects::Objects;

use super::{reading::Known, workload::Workload};

/// Builds the program with these flags of the linker.
fn built(name: &str, flags: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/counters/objects.go");
    let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut go = Command::new("go");
    go.arg("build").arg(format!("-ldflags={flags}")).arg("-o").arg(&made).arg(source);
    assert!(go.status().unwrap().success());
    made
}

/// Bytes and objects in use by the function that allocated them.
fn said(workload: &mut Workload) -> HashMap<String, (u64, u64)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("profile");
    workload.say(&format!("profile {}", path.display()));
    let line = |line: &str| {
        let mut words = line.rsplitn(3, ' ');
        let (count, bytes) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let name = words.next()?;
        Some((if name.is_empty() { "the runtime" } else { name }.to_owned(), (bytes, count)))
    };
    fs::read_to_string(path).unwrap().lines().filter_map(line).collect()
}

/// What is read: the sum of all rows of each function, whoever called it.
fn by_function(objects: &Objects) -> HashMap<&str, (u64, u64)> {
    let mut sums: HashMap<&str, (u64, u64)> = HashMap::new();
    for row in &objects.rows {
        let sum = sums.entry(row.name.split(" < ").next().unwrap()).or_default();
        *sum = (sum.0 + row.bytes.0, sum.1 + row.count);
    }
    sums
}

fn compare(workload: &mut Workload, what: &str) -> Objects {
    let said = said(workload);
    let (heaps, absent) = Known::of(workload.pid()).objects();
    let objects = heaps.into_iter().next().unwrap_or_else(|| panic!("{what}: {absent:?}"));
    let read = by_function(&objects);
    let mut largest: Vec<_> = said.into_iter().collect();
    largest.sort_by_key(|(_, (bytes, _))| std::cmp::Reverse(*bytes));
    for (name, (bytes, count)) in largest.into_iter().take(4) {
        let (read_bytes, read_count) = read.get(name.as_str()).copied().unwrap_or_default();
        println!("{what}: {name}: {bytes} said, {read_bytes} read; {count} and {read_count} objects");
        // The same samples: only rounding is different.
        assert!(read_bytes.abs_diff(bytes) <= bytes / 100 + 64, "{what} {name}: {:#?}", objects.rows);
        assert!(read_count.abs_diff(count) <= count / 100 + 64, "{what} {name}: {:#?}", objects.rows);
    }
    objects
}

#[test]
fn the_profile_is_the_programs_own() {
    for (name, flags) in [("objects-go", ""), ("objects-go-stripped", "-s -w")] {
        let mut workload = Workload::start(Command::new(built(name, flags)));
        workload.say("fill 60000");
        workload.say("collect 0");
        let objects = compare(&mut workload, name);
        println!("{objects:?}");
        let callers = objects.rows.iter().any(|row| row.name.starts_with("main.keepOrder < main."));
        assert!(callers, "{name}: {:#?}", objects.rows);
        workload.say("drop 0");
        workload.say("collect 0");
        compare(&mut workload, name);
    }
}

/// The truth is what was allocated: 60,000 orders of 48 bytes.
#[test]
fn the_bound_holds_against_what_was_allocated() {
    let program = built("objects-go", "");
    for _ in 0..10 {
        let mut workload = Workload::start(Command::new(&program));
        workload.say("fill 60000");
        workload.say("collect 0");
        let (heaps, absent) = Known::of(workload.pid()).objects();
        let objects = heaps.first().unwrap_or_else(|| panic!("{absent:?}"));
        let row = objects.rows.iter().find(|row| row.name.starts_with("main.keepOrder"));
        let (count, off) = row.map_or((0, u64::MAX), |row| (row.count, row.error_count));
        println!("{count} ± {off} orders");
        assert!(count.abs_diff(60_000) <= off, "{objects:?}");
    }
}

#[test]
fn another_rate_is_told_by_the_sums() {
    let program = built("objects-go", "");
    for rate in [1, 4096] {
        let mut command = Command::new(&program);
        command.arg(rate.to_string());
        let mut workload = Workload::start(command);
        workload.say("fill 60000");
        workload.say("collect 0");
        let (heaps, absent) = Known::of(workload.pid()).objects();
        let objects = heaps.first().unwrap_or_else(|| panic!("{rate}: {absent:?}"));
        let row = objects.rows.iter().find(|row| row.name.starts_with("main.keepOrder")).unwrap();
        println!("rate {rate}: {row:?}, {:?}", objects.missing);
        assert!(row.count.abs_diff(60_000) <= row.error_count.max(60), "{rate}: {row:?}");
        assert!(objects.missing.iter().any(|missing| missing.contains("sampling rate")));
    }
}

#[test]
fn where_profiling_is_off_that_is_said() {
    let mut command = Command::new(built("objects-go", ""));
    command.arg("0");
    let mut workload = Workload::start(command);
    workload.say("fill 60000");
    // What was allocated before the setting may be in its profile.
    let (heaps, absent) = Known::of(workload.pid()).objects();
    let is_said = ["sampling rate", "no heap profile"].iter().any(|why| absent[0].reason.contains(why));
    assert!(heaps.is_empty() && is_said, "{heaps:?} {absent:?}");
    let without = Workload::driven(super::workload::program("go-stripped"), &["grow 20"]);
    let (heaps, absent) = Known::of(without.pid()).objects();
    assert!(heaps.is_empty() && absent[0].reason.contains("no heap profile"), "{heaps:?} {absent:?}");
}
