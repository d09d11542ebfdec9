//! What the tests stand on: cgroups, programs, daemons, the kernel's log. Each cleans up when it is dropped.

pub mod bpffs;
pub mod cgroup;
pub mod daemon;
pub mod disk;
pub mod freezer;
pub mod http;
pub mod kernel_log;
pub mod program;
pub mod terminal;
pub mod tracer;
pub mod tree;

use std::{
    path::PathBuf,
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use memtrace::ingest::loss::Loss;
use memtrace_common::counter::Counter;

/// Long enough for anything that happens at all, on a slow and busy machine: a backstop, which says what never came.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks again and again until there is an answer, and panics when there is none in time.
pub fn eventually<T>(what: &str, deadline: Duration, look: impl FnMut() -> Option<T>) -> T {
    in_time(deadline, look).unwrap_or_else(|| panic!("not in {} s: {what}", deadline.as_secs()))
}

/// The same for those that must not panic.
pub fn in_time<T>(deadline: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(PAUSE);
    }
}

/// The binary under test.
pub fn binary() -> PathBuf {
    std::env::var_os("MEMTRACE_BIN").map_or_else(|| env!("CARGO_BIN_EXE_memtrace").into(), PathBuf::from)
}

/// Runs it to its end.
pub fn memtrace(arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).output().expect("memtrace runs")
}

/// What a program printed, on either side, as text.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What was lost, but for what is over a budget: that is others' of this node.
pub fn unexpected(losses: &[Loss]) -> Vec<&Loss> {
    let over_budget = [Counter::Throttled, Counter::SignalsThrottled, Counter::CgroupsThrottled];
    losses.iter().filter(|loss| over_budget.iter().all(|counter| loss.name != counter.name())).collect()
}

/// Mebibytes.
pub const fn mib(count: u64) -> u64 {
    count << 20
}
