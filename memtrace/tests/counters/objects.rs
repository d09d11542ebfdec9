//! What fills the heap of a Python process, against what the program counts itself.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use memtrace::allocator::objects::{Objects, Row};

use super::{reading::Known, workload::Workload};

/// What the program says of one type.
#[derive(Clone, Copy, Debug)]
struct Said {
    own: u64,
    /// `None` where Python does not say.
    held: Option<u64>,
    count: u64,
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/counters/objects.py")
}

/// The Python of this machine, and those of other versions, as far as they are there.
fn pythons() -> Vec<String> {
    let all = (8..=13).map(|minor| format!("python3.{minor}"));
    let runs = |python: &String| {
        let mut command = Command::new(python);
        command.args(["-c", ""]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let pythons: Vec<String> = ["python3".to_owned()].into_iter().chain(all).filter(runs).collect();
    assert!(!pythons.is_empty(), "no Python");
    pythons
}

fn said(workload: &mut Workload) -> HashMap<String, Said> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("types");
    workload.say(&format!("types {}", path.display()));
    let text = fs::read_to_string(path).unwrap();
    let line = |line: &str| {
        let mut words = line.split(' ');
        let name = words.next().unwrap().to_owned();
        let [own, held, count] = [(); 3].map(|()| words.next().unwrap().parse::<i64>().unwrap());
        let of = |number: i64| u64::try_from(number).ok();
        (name, Said { own: of(own).unwrap(), held: of(held), count: of(count).unwrap() })
    };
    text.lines().map(line).collect()
}

/// A row that is there.
fn row<'o>(objects: &'o Objects, name: &str) -> Option<&'o Row> {
    objects.rows.iter().find(|row| row.name == name)
}

/// The types that grew most according to the program must have grown as much, within 2 % or the bound. The growth, because
/// there are objects that a program cannot reach: the table of interned strings is a dict of 200 KiB.
fn compare(before: (&HashMap<String, Said>, &Objects), after: (&HashMap<String, Said>, &Objects)) {
    let none = Said { own: 0, held: Some(0), count: 0 };
    let mut grown: Vec<(&String, Said)> = Vec::new();
    for (name, said) in after.0 {
        let old = before.0.get(name).unwrap_or(&none);
        let held = said.held.map(|held| held.saturating_sub(old.held.unwrap_or(0)));
        grown.push((
            name,
            Said { own: said.own.saturating_sub(old.own), held, count: said.count.saturating_sub(old.count) },
        ));
    }
    grown.sort_by_key(|(_, said)| std::cmp::Reverse(said.own + said.held.unwrap_or(0)));
    for (name, Said { own, held, count }) in grown.into_iter().take(10) {
        let now = row(after.1, name).unwrap_or_else(|| panic!("no {name} in {:?}", after.1.rows));
        let old = row(before.1, name);
        // Where the program does not say what its instances hold, their own blocks are compared.
        let bytes = |row: &Row| row.bytes.0 - if held.is_none() { row.held_bytes.0 } else { 0 };
        let (read, truth) = (bytes(now).saturating_sub(old.map_or(0, bytes)), own + held.unwrap_or(0));
        let error = now.error_bytes.0 + old.map_or(0, |row| row.error_bytes.0);
        let read_count = now.count.saturating_sub(old.map_or(0, |row| row.count));
        println!("  {name}: {truth} said, {read} ± {error} read; {count} and {read_count} instances");
        assert!(
            read.abs_diff(truth) <= error.max(truth / 50),
            "{name}: {truth} bytes said, {read} read, {now:?}"
        );
        let error = now.error_count + old.map_or(0, |row| row.error_count);
        assert!(read_count.abs_diff(count) <= error.max(count / 50), "{name}: {count} said, {now:?}");
    }
}

/// What the program says, and what is read of it.
fn look(workload: &mut Workload, python: &str) -> (HashMap<String, Said>, Objects) {
    let said = said(workload);
    let (heaps, absent) = Known::of(workload.pid()).objects();
    let objects = heaps.into_iter().next().unwrap_or_else(|| panic!("{python}: {absent:?}"));
    let Objects { pieces, pieces_read, heap_bytes, error_bytes, .. } = &objects;
    println!("{python}: {pieces_read} of {pieces} pools, {heap_bytes} in use");
    assert_eq!((pieces_read, error_bytes.0), (pieces, 0), "{python}");
    (said, objects)
}

#[test]
fn at_rest_the_largest_types_are_what_the_program_counts() {
    for python in pythons() {
        let mut command = Command::new(&python);
        command.arg(script());
        let mut workload = Workload::start(command);
        let (said_before, before) = look(&mut workload, &python);
        workload.say("fill 12000");
        let (said_after, after) = look(&mut workload, &python);
        compare((&said_before, &before), (&said_after, &after));
        // Most of what is in use has a type, and nothing is there twice.
        let own = after.rows.iter().map(|row| row.bytes.0 - row.held_bytes.0).sum::<u64>();
        let told = own + after.others.bytes.0;
        assert!(told <= after.heap_bytes.0 * 101 / 100, "{python}: {told} of {}", after.heap_bytes);
        assert!(after.untyped_bytes.0 <= after.heap_bytes.0 / 10, "{python}: {after:?}");
    }
}

/// There are as many of them at any time, give or take those that are being replaced.
#[test]
fn while_two_threads_replace_objects_the_bound_holds() {
    const CHURNED: u64 = 2 * 20_000;
    const READINGS: usize = 50;
    let mut command = Command::new("python3");
    command.arg(script());
    let workload = Workload::driven(command, &["churn 20000"]);
    let known = Known::of(workload.pid());
    let (mut read, mut held, mut close) = (0, 0, 0);
    for _ in 0..READINGS {
        let (heaps, _) = known.objects();
        let Some(row) = heaps.first().and_then(|objects| row(objects, "__main__.Churned")) else { continue };
        let off = row.count.abs_diff(CHURNED);
        read += 1;
        held += usize::from(off <= row.error_count + 4);
        close += usize::from(off <= CHURNED / 10);
    }
    println!("busy: {read} of {READINGS} readings, {held} within their bound, {close} within 10 %");
    assert!(read * 10 >= READINGS * 9, "{read} readings");
    assert!(held * 20 >= read * 19 && close * 20 >= read * 19, "{held} and {close} of {read}");
}

/// Resident memory and page tables, in kB.
fn size(pid: u32) -> [u64; 2] {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    ["VmRSS:", "VmPTE:"].map(|name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    })
}

#[test]
fn neither_pages_nor_page_tables_come_of_it() {
    let mut command = Command::new("python3");
    command.arg(script());
    let workload = Workload::driven(command, &["fill 300"]);
    let known = Known::of(workload.pid());
    let before = size(workload.pid());
    let read = (0..100).filter(|_| known.objects().0.len() == 1).count();
    let after = size(workload.pid());
    // Less may be there: the kernel takes pages of files when it needs memory.
    let is_no_more = after.iter().zip(before).all(|(after, before)| *after <= before);
    assert!(is_no_more && read == 100, "{after:?} kB of RSS and page tables, {before:?} before, {read} read");
}
