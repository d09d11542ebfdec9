//! One record against the kernel's own words about the same kill.
//!
//! Record, log lines and counters -> what does not agree. What the record says it does not know is not wrong; whether
//! it should have known is for the table to say.

use super::{
    collected::Collected,
    kernel_log::{Kill, Report},
    machine::CPUS,
    record::{Loss, Memory, Record},
    results::Results,
};

/// A process's page counts are kept in batches of 32 on each CPU (include/linux/percpu_counter.h); kernels to 6.18
/// print them without what the CPUs hold, later ones with it, and a program cannot ask for either.
const BATCHES_KB: u64 = 32 * 4 * CPUS as u64;
/// A CPU charges a cgroup for up to 64 pages more than it needs and keeps them for the next charges
/// (MEMCG_CHARGE_BATCH in include/linux/memcontrol.h). Before a kill, the kernel orders what the CPUs keep to be given
/// back; another CPU may do so after the kernel's report and before its mark.
const STOCK_KB: u64 = 64 * 4;

/// A virtual CPU that the host does not run for a while makes events late; nothing else may be lost.
const LATE: &str = "late";

/// Compares one kill; `freed_kb` is what earlier victims had and may be giving back. Returns the largest difference of a figure to the log, in kB.
pub(crate) fn compare(
    at: &str,
    record: &Record,
    kill: &Kill,
    freed_kb: u64,
    collected: &Collected,
    results: &mut Results,
) -> u64 {
    let victim = &record.victim;
    results.equal(&format!("{at}.victim-thread"), &kill.tid, &victim.tid);
    results.equal(&format!("{at}.victim-name"), &kill.comm, &victim.comm);
    if let Some(uid) = victim.uid {
        results.equal(&format!("{at}.victim-uid"), &kill.uid, &uid);
    }
    if let Some(adj) = victim.oom_score_adj {
        results.equal(&format!("{at}.victim-adj"), &kill.oom_score_adj, &adj);
    }
    let (late, lost): (Vec<&Loss>, Vec<&Loss>) =
        record.evidence.losses.iter().partition(|loss| loss.name == LATE);
    results.equal(&format!("{at}.losses"), &Vec::new(), &lost);
    results.remarks.extend(late.iter().map(|loss| format!("{at}: {} events were {LATE}", loss.count)));
    if let Some(report) = &kill.report {
        compare_report(at, record, report, (kill.tid, freed_kb), collected, results);
    }
    compare_events(at, record, collected, results);
    figures(at, &victim.memory, kill, results)
}

fn compare_report(
    at: &str,
    record: &Record,
    report: &Report,
    (victim, freed_kb): (u32, u64),
    collected: &Collected,
    results: &mut Results,
) {
    let kind = if report.oom_memcg.is_some() { "memcg" } else { "global" };
    if record.scope.kind != "unknown" {
        results.equal(&format!("{at}.scope"), &kind, &record.scope.kind.as_str());
    }
    if let Some(owner) = &record.limit_owner {
        results.equal(&format!("{at}.owner"), &report.oom_memcg, &owner.path);
        results.equal(&format!("{at}.limit-kb"), &report.limit, &owner.limit_bytes.map(|bytes| bytes / 1024));
        if let (Some(usage), Some(logged)) = (owner.usage_bytes.map(|bytes| bytes / 1024), report.usage) {
            let given_back = STOCK_KB * u64::from(CPUS) * cgroups_in(&owner.path, collected);
            let wanted = logged.saturating_sub(given_back + freed_kb)..=logged + STOCK_KB;
            results.holds(&format!("{at}.usage-kb"), wanted.contains(&usage), || {
                (format!("{logged}, or {} to {}", wanted.start(), wanted.end()), usage.to_string())
            });
        }
    }
    if let Some(cgroup) = &record.victim.cgroup {
        results.equal(&format!("{at}.victim-cgroup"), &report.task_memcg, cgroup);
    }
    let trigger = &record.trigger;
    results.equal(&format!("{at}.trigger-thread"), &report.asker_tid, &trigger.tid);
    results.equal(&format!("{at}.trigger-name"), &report.asker, &trigger.comm);
    results.equal(&format!("{at}.trigger-is-victim"), &(report.asker_tid == victim), &trigger.is_victim);
}

/// The cgroup at `owner` and those below it, as many as the scenario made.
fn cgroups_in(owner: &Option<String>, collected: &Collected) -> u64 {
    let Some(owner) = owner else { return 1 };
    let below = format!("{}/", owner.trim_end_matches('/'));
    let found = collected.events.keys().filter(|path| *path == owner || path.starts_with(&below)).count();
    u64::try_from(found.max(1)).unwrap_or(u64::MAX)
}

/// The counters only grow: at the kill they were at most what they are now.
fn compare_events(at: &str, record: &Record, collected: &Collected, results: &mut Results) {
    let owner = record.limit_owner.as_ref().and_then(|owner| owner.path.as_ref());
    for level in &record.chain {
        let Some(path) = &level.path else { continue };
        let Some(now) = collected.events.get(path) else { continue };
        let least = u64::from(owner == Some(path));
        if let Some(oom) = level.oom_events {
            results.holds(&format!("{at}.oom-events of {path}"), (least..=now.oom).contains(&oom), || {
                (format!("{least} to {}", now.oom), oom.to_string())
            });
        }
        if let Some(kills) = level.oom_kills {
            results.holds(&format!("{at}.oom-kills of {path}"), kills <= now.oom_kill, || {
                (format!("at most {}", now.oom_kill), kills.to_string())
            });
        }
    }
}

fn figures(at: &str, memory: &Memory, kill: &Kill, results: &mut Results) -> u64 {
    let Memory { anon_bytes, file_bytes, shmem_bytes, virtual_bytes } = memory;
    let kb = |bytes: &Option<u64>| bytes.map(|bytes| bytes / 1024);
    if let Some(mapped) = kb(virtual_bytes) {
        results.equal(&format!("{at}.virtual-kb"), &kill.total_vm, &mapped);
    }
    let mut largest = 0;
    let pairs = [
        ("anon", anon_bytes, kill.anon),
        ("file", file_bytes, kill.file),
        ("shmem", shmem_bytes, kill.shmem),
    ];
    for (name, found, logged) in pairs {
        let Some(found) = kb(found) else { continue };
        largest = largest.max(found.abs_diff(logged));
        results.holds(&format!("{at}.{name}-kb"), found.abs_diff(logged) <= BATCHES_KB, || {
            (format!("{logged}, or up to {BATCHES_KB} beside it"), found.to_string())
        });
    }
    largest
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{collected::Events, kernel_log, record};

    fn compared(record: &Record, oom: u64) -> Vec<String> {
        let kills = kernel_log::kills(kernel_log::tests::LOG);
        let collected = Collected {
            programs: BTreeMap::new(),
            counted: 1,
            events: BTreeMap::from([("/own".to_owned(), Events { oom, oom_kill: 1 })]),
            kills: kills.clone(),
            kill_lines: 1,
            records: Vec::new(),
        };
        let mut results = Results::default();
        compare("own", record, &kills[0], 0, &collected, &mut results);
        results.wrong.into_iter().map(|surprise| surprise.check).collect()
    }

    fn example() -> Record {
        Record::parse(record::tests::JSON).unwrap()
    }

    #[test]
    fn a_record_that_says_what_the_kernel_says_is_right() {
        assert_eq!(compared(&example(), 1), [""; 0]);
    }

    #[test]
    fn each_field_that_differs_is_named() {
        let mut record = example();
        record.victim.cgroup = Some("/other".to_owned());
        record.trigger.tid = 7;
        record.victim.memory.anon_bytes = Some(1 << 20);
        record.limit_owner.as_mut().unwrap().path = Some("/".to_owned());
        assert_eq!(
            compared(&record, 1),
            ["own.owner", "own.victim-cgroup", "own.trigger-thread", "own.anon-kb"]
        );
    }

    #[test]
    fn usage_is_wrong_when_it_differs_by_more_than_the_cpus_keep() {
        let usage = |less_kb: u64| {
            let mut record = example();
            record.limit_owner.as_mut().unwrap().usage_bytes = Some((24_576 - less_kb) * 1024);
            compared(&record, 1)
        };
        assert_eq!(usage(u64::from(CPUS) * STOCK_KB), [""; 0]);
        assert_eq!(usage(u64::from(CPUS) * STOCK_KB + 4), ["own.usage-kb"]);
    }

    #[test]
    fn cgroups_are_counted_below_the_owner_alone() {
        let events = ["/a", "/a/b", "/a/c", "/ab", "/d"].map(|path| (path.to_owned(), Events::default()));
        let collected = Collected {
            programs: BTreeMap::new(),
            counted: 0,
            events: BTreeMap::from(events),
            kills: Vec::new(),
            kill_lines: 0,
            records: Vec::new(),
        };
        assert_eq!(cgroups_in(&Some("/a".to_owned()), &collected), 3);
        assert_eq!(cgroups_in(&None, &collected), 1);
    }

    #[test]
    fn what_is_unknown_is_not_wrong() {
        let mut record = example();
        record.limit_owner = None;
        record.scope.kind = "unknown".to_owned();
        record.victim.cgroup = None;
        record.victim.memory.file_bytes = None;
        assert_eq!(compared(&record, 1), [""; 0]);
    }

    #[test]
    fn a_counter_above_what_the_kernel_shows_later_is_wrong() {
        assert_eq!(compared(&example(), 0), ["own.oom-events of /own"]);
    }
}
