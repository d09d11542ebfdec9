//! Runs that are saved, and read again by `memtrace baseline`.

use std::{fs, process::Command};

use memtrace::sizing::{
    run::{End, Page},
    saved::{MOST_BYTES, Saved},
};

use super::run;
use crate::fixture::{binary, mib, program::Program, said};

#[test]
fn a_run_is_saved_as_it_is_on_its_page() {
    let dir = tempfile::tempdir().unwrap();
    let (state, page) = (dir.path().join("state"), dir.path().join("page"));
    let (state, page) = (state.to_str().unwrap(), page.to_str().unwrap());
    // Long enough for a look at what its memory is made of.
    let script =
        format!("{} touch 30; sleep 1.5; exec {} touch 40", Program::eat_path(), Program::eat_path());
    let options = ["--save", "before", "--state-dir", state, "-o", "json", "--page", page];
    let (_, output) = run(&options, &["sh", "-c", &script]);
    assert!(output.status.success(), "{}", said(&output));
    let page: Page = serde_json::from_str(&fs::read_to_string(page).unwrap()).unwrap();
    let baseline = |words: &[&str]| {
        let output =
            Command::new(binary()).args(["baseline", "--state-dir", state]).args(words).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let saved: Saved = serde_json::from_str(&baseline(&["show", "before", "-o", "json"])).unwrap();
    assert_eq!((saved.end, saved.peak, saved.name.as_str()), (End::Exited(0), page.runs[0].peak, "before"));
    assert_eq!(saved.plateau_bytes, page.runs[0].course.plateau_bytes);
    assert!(saved.peak.unwrap().bytes.0 >= mib(40));
    assert!(saved.bytes().unwrap().len() <= MOST_BYTES);
    assert!(baseline(&["list"]).contains("before"));
    baseline(&["rm", "before"]);
    assert!(baseline(&["list"]).contains("no baselines"));
}

#[test]
fn where_nothing_can_be_saved_nothing_is_run() {
    let dir = tempfile::tempdir().unwrap();
    let (file, mark) = (dir.path().join("file"), dir.path().join("mark"));
    fs::write(&file, "no directory").unwrap();
    let options = ["--save", "before", "--state-dir", file.to_str().unwrap()];
    let (_, output) = run(&options, &["touch", mark.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("failed to save the run"), "{}", said(&output));
    assert!(!mark.exists());
}
