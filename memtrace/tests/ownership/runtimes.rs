//! Programs that run in a virtual machine or interpreter.

use std::process::Command;

use super::{
    census::Census,
    fixture,
    workload::{Workload, folder, program},
};

const DRIVE: [&str; 3] = ["grow 96", "free 60", "grow 32"];

fn check(name: &str, command: Command, more: &[&str], expected: &[(&str, &str, u64)]) {
    let workload = Workload::driven(command, &[&DRIVE, more].concat());
    let census = Census::take(workload.pid());
    census.assert(name, expected);
    fixture::write(name, &census);
}

#[test]
fn go() {
    check("go", program("go"), &[], &[("go", "heap", 64), ("go", "runtime metadata", 1)]);
}

#[test]
fn java() {
    for collector in ["-XX:+UseG1GC", "-XX:+UseSerialGC", "-XX:+UseParallelGC"] {
        let mut command = Command::new("java");
        command.arg(collector).arg("-cp").arg(folder()).arg("Workload");
        let expected = [("jvm", "java heap", 64), ("jvm", "code cache", 0), ("glibc", "mmapped chunk", 16)];
        let name = if collector.contains("G1") { "java" } else { "java-other" };
        check(name, command, &["direct 16"], &expected);
    }
}

#[test]
fn node() {
    let mut command = Command::new("node");
    command.arg("--expose-gc").arg(folder().join("node.js"));
    check("node", command, &[], &[("v8", "page", 40), ("glibc", "mmapped chunk", 10)]);
}

/// CPython itself says how many arenas it has.
#[test]
fn python() {
    let mut command = Command::new("python3");
    command.arg(folder().join("python.py"));
    let mut workload = Workload::driven(command, &DRIVE);
    let arenas = workload.say("arenas").unwrap();
    let census = Census::take(workload.pid());
    // Freed blocks raise the threshold above which blocks are mapped: later ones are in the heap.
    census.assert("python", &[("cpython", "obmalloc arena", 20), ("glibc", "main heap", 8)]);
    fixture::write("python", &census);
    let owned = census.owned.iter().filter(|owned| owned.owner.kind == "obmalloc arena");
    assert_eq!(owned.map(|owned| owned.len()).sum::<u64>(), arenas << 20);
}
