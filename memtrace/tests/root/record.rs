//! `memtrace record` and `memtrace replay`: a recording shows what its original showed.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use memtrace::snapshot::Snapshot;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    fixture::{PATIENCE, binary, cgroup::Cgroup, daemon::Place, eventually, memtrace, said},
    workload::{Workload, program},
};

fn record(file: &str, arguments: &[&str]) -> Child {
    Command::new(binary())
        .args(["record", "-o", "json", "--out", file])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn shown(output: &std::process::Output) -> Snapshot {
    assert!(output.status.success(), "{}", said(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_replay_shows_what_the_recording_showed() {
    let place = Place::new();
    let file = place.file("one.rec");
    let file = file.to_str().unwrap();
    let mut workload = Workload::start(program("c-glibc"));
    let pid = workload.pid().to_string();
    let child = record(file, &["--pid", &pid, "--scan-share", "50"]);
    eventually("the recording begins", PATIENCE, || {
        std::fs::metadata(file).ok().filter(|file| file.len() > 0)
    });
    for command in ["grow 24", "free 50", "grow 8", "hold"] {
        workload.say(command);
    }
    // At each tick what it asked the kernel is written.
    for _ in 0..3 {
        let size = std::fs::metadata(file).unwrap().len();
        eventually("another tick is recorded", PATIENCE, || {
            (std::fs::metadata(file).unwrap().len() > size).then_some(())
        });
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let recorded = shown(&child.wait_with_output().unwrap());
    assert_eq!(recorded.processes.iter().map(|row| row.pid).collect::<Vec<_>>(), [workload.pid()]);
    let memory = recorded.processes[0].memory.as_ref().unwrap();
    assert_eq!(memory.arenas[0].allocator, "glibc");
    assert!(!memory.growth_stacks.is_empty());

    let replayed = memtrace(&["replay", file, "-o", "json"]);
    assert_eq!(shown(&replayed), recorded);
    assert_eq!(String::from_utf8_lossy(&replayed.stderr), "");
    let table = memtrace(&["replay", file, "--by", "arena"]);
    assert!(said(&table).contains("thread arena"), "{}", said(&table));
}

/// What `tests/replay` runs on. The programs are copied to where no path tells of this machine.
#[test]
#[ignore = "writes tests/replay/data: by hand, when the form of recordings has changed"]
fn recordings_for_the_tests() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay/data");
    let folder = tempfile::Builder::new().prefix("recorded").rand_bytes(0).tempdir().unwrap();
    // As small as tells: every fault that is sampled brings a stack.
    for (name, mib) in [("c-glibc", 6), ("rust-mimalloc", 24), ("shmem-user", 16)] {
        let copy = folder.path().join(name);
        std::fs::copy(program(name).get_program(), &copy).unwrap();
        let (file, json) = (data.join(format!("{name}.rec")), data.join(format!("{name}.json")));
        _ = std::fs::remove_file(&file);
        let group = Cgroup::new();
        let mut workload = Workload::start(Command::new(&copy));
        let pid = workload.pid().to_string();
        std::fs::write(format!("{}/cgroup.procs", group.directory()), &pid).unwrap();
        let file = file.to_str().unwrap();
        let child = record(file, &["--pid", &pid, "--scan-share", "50"]);
        eventually("the recording begins", PATIENCE, || {
            std::fs::metadata(file).ok().filter(|file| file.len() > 0)
        });
        // A tick is a second; what happens in one is seen together.
        for command in [format!("grow {mib}"), "free 50".to_owned(), format!("grow {}", mib / 2)] {
            workload.say(&command);
            std::thread::sleep(std::time::Duration::from_millis(1300));
        }
        std::thread::sleep(std::time::Duration::from_secs(2));
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let output = child.wait_with_output().unwrap();
        let recorded = shown(&output);
        assert_eq!(recorded.processes.len(), 1);
        std::fs::write(json, output.stdout).unwrap();
        println!("{name}: {} KiB", std::fs::metadata(file).unwrap().len() >> 10);
    }
}

#[test]
fn the_whole_node_is_recorded_and_replayed() {
    let place = Place::new();
    let file = place.file("node.rec");
    let file = file.to_str().unwrap();
    let recorded =
        shown(&memtrace(&["record", "-o", "json", "--for", "4", "--scan-share", "50", "--out", file]));
    assert!(recorded.processes.iter().any(|row| row.pid == std::process::id()));
    assert_eq!(shown(&memtrace(&["replay", file, "-o", "json"])), recorded);
}

#[test]
fn a_file_that_is_there_is_not_written_over_and_one_that_is_full_is_whole() {
    let place = Place::new();
    let file = place.file("small.rec");
    std::fs::write(&file, "mine").unwrap();
    let output = memtrace(&["record", "--for", "1", "--out", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    let other = memtrace(&["replay", file.to_str().unwrap()]);
    assert_eq!(other.status.code(), Some(1));
    assert!(said(&other).contains("not a recording"), "{}", said(&other));
    let full = place.file("full.rec");
    let output = memtrace(&["record", "--for", "9", "--max-size", "0", "--out", full.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("limit"), "{}", said(&output));
}
