//! A thousand readings leave no trace in the process.

use std::fs;

use super::{
    reading::Known,
    workload::{Workload, folder, program},
};

const READINGS: usize = 1000;

/// Resident memory and page tables, in kB.
fn size(pid: u32) -> [u64; 2] {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    ["VmRSS:", "VmPTE:"].map(|name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    })
}

fn leaves_no_trace(name: &str, command: std::process::Command, steps: &[&str], readings: usize) {
    let mut workload = Workload::driven(command, steps);
    workload.say("hold");
    let known = Known::of(workload.pid());
    let before = size(workload.pid());
    let mut read = 0;
    for _ in 0..readings {
        read += known.read().0.len();
    }
    assert_eq!(size(workload.pid()), before, "{name}: kB of RSS and page tables");
    assert!(read >= readings, "{name}: {read} of {readings} readings gave counters");
}

#[test]
#[ignore = "never run to its end: a thousand readings take minutes without optimisation"]
fn neither_pages_nor_page_tables_come_of_it() {
    let steps = ["grow 8", "free 60", "big 64"];
    leaves_no_trace("c-glibc", program("c-glibc"), &steps, READINGS);
    leaves_no_trace("c-musl-stripped", program("c-musl-stripped"), &steps, READINGS / 5);
    let mut python = std::process::Command::new("python3");
    python.arg(folder().join("python.py"));
    leaves_no_trace("python", python, &["grow 8", "free 60"], READINGS / 5);
}
