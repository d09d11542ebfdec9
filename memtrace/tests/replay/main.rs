//! Recordings of real programs: the model run on each shows what it showed live.
//!
//! `data/NAME.rec` is what the tracer saw, `data/NAME.json` the last snapshot that was shown then. Both are made anew by
//! `cargo test --test root -- --ignored recordings_for_the_tests`, for one of two reasons: the form of events or answers
//! has changed, or the model tells more of the same events; then the difference in `NAME.json` is what to look at.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests panic")]

use std::{fs, path::PathBuf};

use memtrace::{
    model::replay::{Replayed, replay},
    snapshot::Snapshot,
};

fn file(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/replay/data").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All snapshots of a recording, as they would be printed.
fn shown(recording: &[u8]) -> Vec<Snapshot> {
    let mut all = Vec::new();
    let replayed = replay(recording, |snapshot| {
        all.push(serde_json::from_str(&serde_json::to_string(&snapshot).unwrap()).unwrap());
    });
    let Replayed { frames, unanswered, is_cut } = replayed.unwrap();
    assert!(frames > 0 && !is_cut);
    assert_eq!(unanswered, 0, "questions that were not asked when it was made");
    all
}

/// The last snapshot is as it was live, and the allocator has the most of the memory in it.
fn check(name: &str, owner: &str) {
    let expected: Snapshot = serde_json::from_slice(&file(&format!("{name}.json"))).unwrap();
    let all = shown(&file(&format!("{name}.rec")));
    let last = all.last().unwrap();
    assert_eq!(*last, expected);
    let memory = last.processes[0].memory.as_ref().unwrap();
    assert_eq!(memory.arenas[0].allocator, owner);
    let sum: u64 = memory.arenas.iter().map(|arena| arena.resident_bytes.0).sum();
    let total = last.processes[0].rss_bytes.unwrap().0;
    assert!(sum.abs_diff(total) <= total / 100, "{sum} of {total}");
}

#[test]
fn a_c_program_that_grows_and_frees() {
    check("c-glibc", "glibc");
}

#[test]
fn huge_pages_between_two_reads_are_closed_to_the_total() {
    check("rust-mimalloc", "mimalloc");
}

#[test]
fn mappings_that_no_call_told_of_are_found() {
    check("shmem-user", "shmem");
}

#[test]
fn what_is_cut_off_shows_what_came_before() {
    let whole = file("c-glibc.rec");
    let mut count = 0;
    let replayed = replay(&whole[..whole.len() - 5], |_| count += 1).unwrap();
    assert!(replayed.is_cut && count > 0);
}
