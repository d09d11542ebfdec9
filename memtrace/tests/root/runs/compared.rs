//! Runs that are compared: what is the same is told apart from what is not, with the right kind of memory.

use std::{fs, path::Path, process::Command};

use memtrace::sizing::{
    diff::{Diff, Verdict, side::Figure, split::By},
    run::Page,
};

use super::{nothing_is_left, run};
use crate::fixture::{binary, mib, program::Program, said};

/// Runs `eat` with a state directory, and gives its exit code and its page.
fn eat(state: &Path, options: &[&str], arguments: &[&str]) -> (Option<i32>, Page) {
    let page = state.join("page");
    let words =
        [options, &["--state-dir", state.to_str().unwrap(), "-o", "json", "--page", page.to_str().unwrap()]];
    let (pid, output) = run(&words.concat(), &[&[Program::eat_path()], arguments].concat());
    nothing_is_left(pid);
    let text = fs::read_to_string(&page).unwrap_or_else(|_| panic!("{}", said(&output)));
    (output.status.code(), serde_json::from_str(&text).unwrap())
}

#[test]
fn a_fifth_more_is_a_regression_and_the_same_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let save = |name: &str, size: &str| eat(dir.path(), &["--save", name, "--repeat", "6"], &["touch", size]);
    for (name, size) in [("main", "100"), ("same", "100"), ("more", "120")] {
        assert_eq!(save(name, size).0, Some(0));
    }
    let diff = |a: &str, b: &str| -> (Option<i32>, Diff) {
        let state = dir.path().to_str().unwrap();
        let words = ["diff", a, b, "--check", "-o", "json", "--state-dir", state];
        let output = Command::new(binary()).args(words).output().unwrap();
        let json = serde_json::from_slice(&output.stdout);
        (output.status.code(), json.unwrap_or_else(|_| panic!("{}", said(&output))))
    };
    let (code, same) = diff("main", "same");
    assert_eq!((code, same.verdict), (Some(0), Verdict::NoChange), "{same:?}");
    let (code, more) = diff("main", "more");
    assert_eq!(
        (code, more.verdict, more.shift.figure),
        (Some(5), Verdict::Regression, Figure::FirmPeak),
        "{more:?}"
    );
    let [low, high] = more.shift.interval_bytes.unwrap();
    let planted = mib(20).cast_signed();
    assert!(
        low <= planted && planted <= high || (more.shift.bytes - planted).unsigned_abs() < mib(1),
        "{more:?}"
    );
    // Which kind is known where a reading was near the peak; the parts close to the byte in any case.
    let kinds = more.splits.iter().find(|split| split.by == By::Kind).unwrap();
    let sum: i64 = kinds.parts.iter().map(|part| part.bytes).sum();
    assert_eq!(sum + kinds.remainder_bytes, more.shift.bytes);
}

#[test]
fn a_run_against_a_baseline_ends_with_five_on_a_regression() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(eat(dir.path(), &["--save", "main", "--repeat", "3"], &["touch", "100"]).0, Some(0));
    for (options, arguments, code, verdict) in [
        (&["--against", "main", "--repeat", "3"][..], &["touch", "100"][..], 0, Some(Verdict::NoChange)),
        (&["--against", "main"], &["touch", "150"], 5, Some(Verdict::Regression)),
        (&["--against", "main"], &["touch", "150", "exit", "7"], 5, Some(Verdict::Regression)),
        (&["--against", "main"], &["touch", "100", "exit", "7"], 7, Some(Verdict::NoChange)),
        (&["--against", "main"], &["touch", "50"], 0, Some(Verdict::Improvement)),
    ] {
        let (got, page) = eat(dir.path(), options, arguments);
        let against = page.against.as_ref().map(|diff| diff.verdict);
        assert_eq!((got, against), (Some(code), verdict), "{options:?} {arguments:?}: {page:?}");
        assert_eq!(i32::from(page.exit_code), code);
    }
}

#[test]
fn what_cannot_be_compared_is_said_and_does_not_change_the_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(eat(dir.path(), &["--save", "main"], &["touch", "20"]).0, Some(0));
    let state = dir.path().to_str().unwrap();
    let (_, output) = run(&["--against", "main", "--state-dir", state], &["sh", "-c", "sleep 0.2; exit 3"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        said(&output).contains("not compared with main: A is of \"eat\" and B is of \"sh\""),
        "{}",
        said(&output)
    );
    // A baseline that is not there is told before the command runs.
    let mark = dir.path().join("mark");
    let (_, output) = run(&["--against", "none", "--state-dir", state], &["touch", mark.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("no saved run \"none\"") && !mark.exists(), "{}", said(&output));
}
