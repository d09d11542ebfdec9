//! The machine that the figures are of.
//!
//! /proc -> words. Must not name the machine itself.

use std::{fs, thread};

use serde::Serialize;

/// What somebody needs to know to compare.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cpus: usize,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    pub(crate) is_virtual: bool,
    /// One-minute load when the measuring began.
    pub(crate) load: String,
}

pub(crate) fn describe() -> Machine {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let of_processor = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(": ")).map(|(_, value)| value.trim().to_owned())
    };
    let memory = read("/proc/meminfo");
    let kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")).map(str::trim);
    Machine {
        processor: of_processor("model name").unwrap_or_else(|| "unknown".to_owned()),
        cpus: thread::available_parallelism().map_or(0, usize::from),
        memory_mib: kib.and_then(|kib| kib.split(' ').next()?.parse::<u64>().ok()).unwrap_or_default() >> 10,
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        is_virtual: of_processor("flags")
            .is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
        load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
    }
}
