//! What a guest collected about one scenario.
//!
//! Sections -> typed values, or why not. Must not compare anything.

use std::collections::BTreeMap;

use super::{
    kernel_log::{self, Kill},
    record::Record,
    transcript::Transcript,
};

/// The kernel's own counters, log lines and programs, and memtrace's records of the same time.
#[derive(Debug)]
pub(crate) struct Collected {
    /// Process ids by name.
    pub(crate) programs: BTreeMap<String, u32>,
    /// By how much oom_kill of /proc/vmstat grew.
    pub(crate) counted: usize,
    /// memory.events.local of the scenario's groups, by path.
    pub(crate) events: BTreeMap<String, Events>,
    pub(crate) kills: Vec<Kill>,
    /// "Killed process" lines, repetitions included.
    pub(crate) kill_lines: usize,
    /// Oldest first.
    pub(crate) records: Vec<Record>,
}

/// Counters of one group, its children's not included.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Events {
    pub(crate) oom: u64,
    pub(crate) oom_kill: u64,
}

impl Collected {
    pub(crate) fn read(scenario: &str, said: &Transcript) -> Result<Self, String> {
        let section = |what: &str| {
            let name = format!("{scenario}/{what}");
            said.get(&name).ok_or_else(|| format!("the guest did not reach {name}"))
        };
        let log = section("log")?;
        let name = format!("{scenario}/record");
        let records = said.all(&name).map(Record::parse).collect::<Result<Vec<_>, _>>();
        let mut records = records.map_err(|error| format!("failed to read a record: {error}"))?;
        records.sort_by_key(|record| record.ktime_ns);
        let counted = section("kills")?.trim();
        Ok(Self {
            programs: section("programs")?.lines().filter_map(program).collect(),
            counted: counted.parse().map_err(|_| format!("failed to read a count of kills: {counted:?}"))?,
            events: section("events")?.lines().filter_map(events).collect(),
            kills: kernel_log::kills(log),
            kill_lines: kernel_log::count(log),
            records,
        })
    }
}

/// `own 113`
fn program(line: &str) -> Option<(String, u32)> {
    let (comm, pid) = line.split_once(' ')?;
    Some((comm.to_owned(), pid.trim().parse().ok()?))
}

/// `/own low 0 high 0 max 19 oom 1 oom_kill 1`
fn events(line: &str) -> Option<(String, Events)> {
    let mut words = line.split_whitespace();
    let path = words.next()?.to_owned();
    let mut events = Events::default();
    while let (Some(name), Some(count)) = (words.next(), words.next()) {
        match name {
            "oom" => events.oom = count.parse().ok()?,
            "oom_kill" => events.oom_kill = count.parse().ok()?,
            _ => {}
        }
    }
    Some((path, events))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_counters_is_read() {
        let (path, read) = events("/a/b low 0 high 0 max 19 oom 2 oom_kill 1 oom_group_kill 0").unwrap();
        assert_eq!((path.as_str(), read), ("/a/b", Events { oom: 2, oom_kill: 1 }));
    }

    #[test]
    fn a_section_that_is_not_there_is_named() {
        let error = Collected::read("own-limit", &Transcript::default()).unwrap_err();
        assert_eq!(error, "the guest did not reach own-limit/log");
    }
}
