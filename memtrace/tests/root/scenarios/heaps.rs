//! What filled the heap is in the record: the type that leaks is the first by growth between the looks before the kill.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use memtrace::{
    allocator::objects::{Objects, growth::by_growth},
    oom::record::circumstances::ObjectsBefore,
};

use super::{LONGEST, answers::cached_jvm, calm, until_dead};
use crate::fixture::{cgroup::Cgroup, daemon::Place, eventually, memtrace, mib, program::Program, said};

fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/root/programs")
}

/// Starts a program in a group, at rest.
fn start(place: &Place, group: &Cgroup, command: &str) -> Program {
    let program = Program::shell(&format!("echo $$ > {}/cgroup.procs; exec {command}", group.directory()));
    program.ready();
    calm(place, &program, mib(8));
    program
}

/// Lets it grow until it is killed, a step for each look of the daemon, and returns what the record has of its heap.
fn killed(place: &Place, daemon: &crate::fixture::daemon::Daemon<'_>, mut program: Program) -> ObjectsBefore {
    let steps = until_dead(&mut program, |program| {
        program.try_go_on();
        daemon.looks(1);
    });
    let record = place.record(program.pid());
    let plain = {
        let mut record = record.clone();
        record.circumstances.objects.clear();
        record
    };
    let bytes = |record| serde_json::to_vec(record).unwrap().len();
    let more = bytes(&record) - bytes(&plain);
    println!("killed after {steps} steps; the record is {more} bytes larger");
    assert!(more <= 20 << 10, "{more} bytes");
    let report = said(&memtrace(&["report", "--last", "--state-dir", place.state().to_str().unwrap()]));
    let from = report.find("Objects before the kill").unwrap_or_else(|| panic!("it is not told: {report}"));
    println!("{}", report[from..].lines().take(14).collect::<Vec<_>>().join("\n"));
    let objects = record.circumstances.objects.into_iter().next().expect("its heap was looked at");
    assert!(objects.is_victim, "{objects:?}");
    objects
}

fn assert_first(objects: &ObjectsBefore, runtime: &str, name: &str) {
    let heap: &Objects = objects.heaps.iter().find(|heap| heap.runtime == runtime).expect("it was read");
    let first = by_growth(&heap.rows)[0];
    let growth = first.growth.expect("there were two looks");
    println!("{first:?}");
    assert_eq!(first.name, name, "{:#?}", heap.rows);
    // How large the error is depends on how much of the heap was read in time.
    assert!(growth.bytes > 0 && growth.count > 0, "{growth:?}");
    assert!(objects.before_age_seconds.is_some_and(|before| before > objects.age_seconds));
}

#[test]
fn the_type_that_leaks_is_first_in_python() {
    let place = Place::new();
    let daemon = place.start(&[]);
    let group = Cgroup::new().limit(mib(64));
    let script = programs().join("leak.py");
    let program = start(&place, &group, &format!("python3 {}", script.display()));
    let objects = killed(&place, &daemon, program);
    assert_first(&objects, "cpython", "__main__.Session");
}

#[test]
fn the_class_that_leaks_is_first_in_java() {
    let place = Place::new();
    let daemon = place.start(&[]);
    cached_jvm();
    let classes = Path::new(env!("CARGO_TARGET_TMPDIR")).join("leak-java");
    let mut javac = Command::new("javac");
    let status = javac.arg("-d").arg(&classes).arg(programs().join("Leak.java")).status().unwrap();
    assert!(status.success());
    let group = Cgroup::new().limit(mib(128));
    let java = format!("java -XX:+UseG1GC -Xmx512m -cp {} Leak", classes.display());
    let program = start(&place, &group, &java);
    eventually("its heap is known", LONGEST, || {
        let snapshot = place.top();
        let row = snapshot.processes.iter().find(|row| row.pid == program.pid())?;
        row.memory.as_ref()?.arenas.iter().any(|arena| arena.allocator == "jvm").then_some(())
    });
    let objects = killed(&place, &daemon, program);
    assert_first(&objects, "jvm", "Leak$Session");
}
