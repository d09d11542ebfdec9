//! `memtrace explain` on real programs in cgroups of their own: its verdict, and its closing sum against the kernel's.
//!
//! Needs the workloads, and root.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests panic")]

mod group;
#[path = "../ownership/workload.rs"]
mod workload;

use std::process::Command;

use memtrace::{
    explain::{Explanation, Holding},
    units::Bytes,
    verdict::Kind,
};

use group::Group;
use workload::{Workload, program};

const MIB: u64 = 1 << 20;

/// The page of a cgroup, with its sum checked: what is in no part is 2 % at most. The groups are so large that what the
/// kernel charges ahead (`MEMCG_CHARGE_BATCH`, 64 pages a CPU, in no kind) is within that.
fn explain(group: &Group) -> Explanation {
    let page = output(&[group.path(), "--alone", "-o", "json"]);
    let explanation: Explanation = serde_json::from_slice(&page).unwrap();
    println!("{}", String::from_utf8_lossy(&output(&[group.path(), "--alone"])));
    let total = explanation.total_bytes.unwrap().0;
    let charged = group.usage();
    assert!(total.abs_diff(charged) <= charged / 50 + MIB, "{total} said, {charged} charged");
    let parts: u64 = explanation.parts.iter().map(|part| part.bytes.0).sum();
    let remainder = explanation.remainder_bytes.unwrap();
    assert_eq!(parts as i64 + remainder, total as i64);
    assert!(remainder.unsigned_abs() <= total / 50, "{remainder} of {total} is in no part");
    explanation
}

fn output(arguments: &[&str]) -> Vec<u8> {
    let output =
        Command::new(env!("CARGO_BIN_EXE_memtrace")).arg("explain").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn start(group: &Group, name: &str, commands: &[&str]) -> Workload {
    let mut workload = Workload::start(program(name));
    group.take(workload.pid());
    for command in commands {
        workload.say(command);
    }
    workload
}

fn holding<'e>(explanation: &'e Explanation, allocator: &str) -> &'e Holding {
    let found = explanation.allocators.iter().find(|holding| holding.allocator == allocator);
    found.unwrap_or_else(|| panic!("no {allocator} in {explanation:?}"))
}

fn is_reserved(explanation: &Explanation) -> bool {
    explanation.findings.iter().any(|finding| finding.kind == Kind::Retention)
}

fn settings(explanation: &Explanation) -> Vec<String> {
    let remedies = explanation.findings.iter().flat_map(|finding| &finding.remedies);
    remedies.filter_map(|remedy| remedy.setting.clone()).collect()
}

#[test]
fn a_jemalloc_server_whose_load_went_away_has_reserved() {
    let group = Group::new("jemalloc");
    let _server = start(&group, "rust-jemalloc-stripped", &["grow 160", "free 100", "grow 8"]);
    let explanation = explain(&group);
    let free = holding(&explanation, "jemalloc").free_resident_bytes.unwrap();
    assert!(free >= Bytes(100 * MIB), "{free}");
    assert!(explanation.findings[0].sentence.contains("reserved, not leaked"));
    assert!(explanation.findings[0].sentence.contains("background_thread is off"));
    assert_eq!(settings(&explanation), ["_RJEM_MALLOC_CONF=background_thread:true,dirty_decay_ms:1000"]);
}

#[test]
fn glibc_with_eight_arenas_after_a_free_storm_has_reserved() {
    let group = Group::new("glibc");
    let _program = start(&group, "c-glibc", &["grow 160", "free 90"]);
    let explanation = explain(&group);
    assert!(holding(&explanation, "glibc").arenas >= 8);
    assert!(explanation.findings[0].sentence.contains("reserved, not leaked"));
    assert!(settings(&explanation).contains(&"MALLOC_ARENA_MAX=2".to_owned()));
}

#[test]
fn go_gives_back_what_it_is_told_to() {
    let group = Group::new("go");
    let mut program = start(&group, "go-stripped", &["grow 160", "free 100"]);
    let before = explain(&group);
    assert!(is_reserved(&before), "{before:?}");
    program.say("return 0");
    // So much that what the kernel charges ahead is little beside it.
    program.say("grow 48");
    let after = explain(&group);
    assert!(!is_reserved(&after), "{after:?}");
    let free = |page: &Explanation| holding(page, "go").free_resident_bytes.unwrap().0;
    assert!(free(&after) < free(&before) / 4, "{} then {}", free(&before), free(&after));
}

/// It is in use, and stays so: nothing to set, and only history can tell that it grows.
#[test]
fn what_leaks_is_not_called_reserved() {
    let group = Group::new("leak");
    let mut program = start(&group, "c-glibc", &[]);
    for _ in 0..4 {
        program.say("grow 32");
    }
    let explanation = explain(&group);
    assert!(!is_reserved(&explanation), "{explanation:?}");
    let glibc = holding(&explanation, "glibc");
    assert!(glibc.allocated_bytes.unwrap() >= Bytes(120 * MIB));
    assert!(settings(&explanation).is_empty());
    assert!(explanation.notes.iter().any(|note| note.contains("history")));
}

#[test]
fn two_targets_stand_side_by_side_and_a_wrong_one_is_explained() {
    let go = Workload::driven(program("go"), &["grow 16"]);
    let rust = Workload::driven(program("rust-jemalloc"), &["grow 16"]);
    let pids = [go.pid().to_string(), rust.pid().to_string()];
    let text = String::from_utf8(output(&[&pids[0], &pids[1], "--alone"])).unwrap();
    assert!(text.contains("go: resident") && text.contains("jemalloc: resident"), "{text}");
    let wrong = Command::new(env!("CARGO_BIN_EXE_memtrace"))
        .args(["explain", "no-such-thing", "--alone"])
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("no process, container, pod or cgroup"));
}

/// Through the reader process, within its budget: without optimisation a part of the pools is read.
#[test]
fn what_fills_a_python_program_is_on_its_page() {
    let group = Group::new("objects");
    let mut command = Command::new("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/objects.py"));
    let program = Workload::driven(command, &["fill 3000"]);
    group.take(program.pid());
    let page = output(&[&program.pid().to_string(), "--alone", "--objects", "-o", "json"]);
    let explanation: Explanation = serde_json::from_slice(&page).unwrap();
    let [filled] = &*explanation.objects else { panic!("{explanation:?}") };
    let [heap] = &*filled.heaps else { panic!("{filled:?}") };
    let row = heap.rows.iter().find(|row| row.name == "__main__.Slots").unwrap();
    assert!(row.count.abs_diff(3000) <= row.error_count, "{row:?}");
    let text = output(&[&program.pid().to_string(), "--alone", "--objects"]);
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("OBJECTS") && text.contains("__main__.Slots"), "{text}");
    let without = output(&[&program.pid().to_string(), "--alone"]);
    assert!(!String::from_utf8(without).unwrap().contains("OBJECTS"));
}
