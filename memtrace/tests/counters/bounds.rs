//! The bounds that runtimes and servers were given, read from their memory, against what they say of themselves.

use std::process::Command;

use memtrace::{
    allocator::{advice, counters::Counters},
    units::Bytes,
};

use super::{
    reading::Known,
    workload::{Workload, folder},
};

fn counters(pid: u32, allocator: &str) -> Counters {
    Known::of(pid).counters(allocator).unwrap_or_else(|absent| panic!("{absent}"))
}

/// What V8 says of the heap of a program with these arguments and variables.
fn said(arguments: &[&str], options: &str) -> u64 {
    let mut command = Command::new("node");
    command.args(arguments).args(["-p", "v8.getHeapStatistics().heap_size_limit"]);
    let output = command.env("NODE_OPTIONS", options).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

#[test]
fn v8_s_heap_has_the_bound_that_it_says() {
    let semi = "--max-semi-space-size=16";
    for (arguments, options) in [
        (&["--max-old-space-size=300", semi][..], ""),
        (&["--max_old_space_size=300", semi], "--max-old-space-size=4096"),
        (&[semi], "--max-old-space-size=200"),
    ] {
        let mut command = Command::new("node");
        command.args(arguments).arg("--expose-gc").arg(folder().join("node.js")).env("NODE_OPTIONS", options);
        let workload = Workload::driven(command, &["grow 16"]);
        let counters = counters(workload.pid(), "v8");
        let ceiling = advice::ceiling(&counters, None).unwrap_or_else(|| panic!("{counters:?}"));
        assert_eq!(ceiling.most, Some(Bytes(said(arguments, options))), "{arguments:?} {options}");
    }
}

/// The default size of its semi-spaces depends on the memory that V8 saw.
#[test]
fn v8_s_default_semi_spaces_are_within_the_stated_limits() {
    let arguments = ["--max-old-space-size=300"];
    let mut command = Command::new("node");
    command.args(arguments).arg("--expose-gc").arg(folder().join("node.js")).env_remove("NODE_OPTIONS");
    let workload = Workload::driven(command, &["grow 16"]);
    let counters = counters(workload.pid(), "v8");
    let ceiling = advice::ceiling(&counters, None).unwrap_or_else(|| panic!("{counters:?}"));
    let said = Some(Bytes(said(&arguments, "")));
    assert!(ceiling.sure() <= said && said <= ceiling.most, "{ceiling:?}, {said:?}");
}

#[test]
fn without_a_flag_nothing_is_said_of_v8() {
    let mut command = Command::new("node");
    command.arg("--expose-gc").arg(folder().join("node.js")).env_remove("NODE_OPTIONS");
    let workload = Workload::driven(command, &["grow 16"]);
    let counters = counters(workload.pid(), "v8");
    assert!(counters.settings.is_empty() && counters.allocated_bytes.is_none(), "{counters:?}");
    assert_eq!(advice::ceiling(&counters, None), None);
}
