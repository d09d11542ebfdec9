//! `memtrace run --find-limit` against a search that tries everything.

use std::process::{Command, Stdio};

use super::start;
use crate::fixture::{cgroup::Cgroup, mib, program::Program};

/// The steps of the exhaustive search, as a part of the limit.
const STEP: f64 = 0.005;

/// Whether a command lives with a limit, in a group that memtrace knows nothing of.
fn lives(limit: u64, command: &[&str]) -> bool {
    let group = Cgroup::new().limit(limit);
    let script = format!("echo 0 > {}/cgroup.procs; exec \"$@\"", group.directory());
    let status = Command::new("sh")
        .args(["-ec", &script, "sh"])
        .args(command)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    status.success() && group.oom_kills() == 0
}

/// The least limit from which on all that are tried are enough.
fn exhaustive(from: u64, to: u64, command: &[&str]) -> u64 {
    let mut least = to;
    let mut limit = to;
    // Downwards, over a few failures: one alone may be chance.
    let mut failed = 0;
    while limit >= from && failed < 4 {
        if lives(limit, command) {
            (least, failed) = (limit, 0);
        } else {
            failed += 1;
        }
        limit = (limit as f64 * (1.0 - STEP)) as u64 / 4096 * 4096;
    }
    least
}

#[test]
fn the_found_limit_is_within_two_percent_of_an_exhaustive_search() {
    let eat = Program::eat_path();
    let programs: [&[&str]; 6] = [
        &[eat, "touch", "32"],
        &[eat, "touch", "80"],
        &[eat, "shmem", "48"],
        &[eat, "fork", "touch", "40"],
        &[eat, "vmas", "4000", "touch", "32"],
        &["sh", "-c", "awk 'BEGIN { for (i = 0; i < 300000; i++) kept[i] = i \"th\" }'"],
    ];
    for command in programs {
        let (status, page) = start(&["--find-limit"], command).end();
        let found = page.search.unwrap();
        assert!(status.success(), "{command:?}: {found:?}");
        let limit = found.limit_bytes.unwrap().0;
        assert!(found.tries.len() < 12, "{command:?}: {found:?}");
        let best = exhaustive(limit / 2, limit + limit / 10, command);
        let error = (limit as f64 - best as f64).abs() / best as f64;
        println!(
            "{command:?}: found {limit}, exhaustive {best}, {:.2} %, {} tries",
            error * 100.0,
            found.tries.len()
        );
        assert!(error <= 0.02, "{command:?}: found {limit}, exhaustive {best}: {found:?}");
        assert!(limit > mib(8));
    }
}
