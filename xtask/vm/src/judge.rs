//! One scenario: did the kernel do what was asked of it, and did memtrace say what the kernel did?
//!
//! Row and collected values -> results. Pure. What one record says is compared in `compare`.

use super::{
    collected::Collected,
    compare::compare,
    record::Record,
    results::Results,
    scenario::{Asker, Limit, Scenario, Victims},
    transcript::Transcript,
};

/// Parts of a record that the daemon had gathered before the kill: how much depends on what it had seen by then, and
/// not on the kernel.
const CIRCUMSTANCES: [&str; 11] = [
    "cause",
    "composition",
    "container",
    "limit_owner_name",
    "more_victims",
    "node",
    "outcome",
    "processes",
    "timeline",
    "trigger_container",
    "victim_memory",
];

/// The results of a scenario.
pub(crate) fn judge(scenario: &Scenario, said: &Transcript) -> Results {
    let mut results = Results::default();
    let name = scenario.name;
    match Collected::read(name, said) {
        Err(why) => results.missing(name, &why),
        Ok(collected) => {
            kernel_did(scenario, &collected, &mut results);
            records_are(name, &collected, &mut results);
            if let Some(first) = collected.records.first() {
                known(scenario, first, &mut results);
            }
        }
    }
    results
}

/// The kernel did what the scenario is about; if not, the scenario is at fault and nothing else.
fn kernel_did(scenario: &Scenario, collected: &Collected, results: &mut Results) {
    let at = |what: &str| format!("{}.kernel.{what}", scenario.name);
    let Collected { programs, counted, events, kills, kill_lines, records: _ } = collected;
    results.equal(&at("vmstat"), kill_lines, counted);
    // When the node has no memory left, the kernel may also kill others than the scenario's programs, such as memtrace's
    // readers, which are in no group.
    let others = kills.iter().filter(|kill| !programs.contains_key(&kill.comm)).count();
    let of_programs = u64::try_from(counted.saturating_sub(others)).unwrap_or(u64::MAX);
    let in_groups: u64 = events.values().map(|events| events.oom_kill).sum();
    results.equal(&at("events-oom_kill"), &of_programs, &in_groups);

    let (first, least, most) = match scenario.victims {
        Victims::None => (None, 0, 0),
        Victims::One(comm) => (Some(comm), 1, 1),
        Victims::First(comm, most) => (Some(comm), 1, most),
        Victims::Group(comm, count) => (Some(comm), count, count),
    };
    results.holds(&at("kills"), (least..=most).contains(&kills.len()), || {
        (format!("{least} to {most}"), kills.len().to_string())
    });
    let Some(kill) = kills.first() else { return };
    results.equal(&at("first-victim"), &first, &Some(kill.comm.as_str()));
    results.equal(&at("first-victim-pid"), &programs.get(&kill.comm), &Some(&kill.tid));
    let Some(report) = &kill.report else {
        results.missing(&at("report"), "the kernel wrote no report");
        return;
    };
    match scenario.asker {
        Asker::Anyone => {}
        Asker::Worker => results.holds(&at("asker"), report.asker.starts_with("kworker/"), || {
            ("kworker/...".to_owned(), report.asker.clone())
        }),
        Asker::Program(comm) => results.equal(
            &at("asker"),
            &(comm, programs.get(comm)),
            &(report.asker.as_str(), Some(&report.asker_tid)),
        ),
    }
    let (owner, limit_kb) = match scenario.limit {
        Limit::Group(path, mib) => (Some(path), Some(mib << 10)),
        Limit::Node => (None, None),
    };
    results.equal(&at("owner"), &owner, &report.oom_memcg.as_deref());
    results.equal(&at("limit-kb"), &limit_kb, &report.limit);
    for (path, events) in events {
        let is_owner = owner == Some(path.as_str());
        results.holds(&at("events-oom"), (events.oom > 0) == is_owner, || {
            (
                format!("{path} {} out of memory itself", if is_owner { "was" } else { "was never" }),
                format!("oom {}", events.oom),
            )
        });
    }
}

/// One record for each kill, and none besides.
fn records_are(name: &str, collected: &Collected, results: &mut Results) {
    let Collected { kills, records, .. } = collected;
    let killed: Vec<(u32, &str)> = kills.iter().map(|kill| (kill.tid, kill.comm.as_str())).collect();
    let victims = records.iter().flat_map(|record| [&record.victim].into_iter().chain(&record.more_victims));
    let recorded: Vec<_> = victims.map(|victim| (victim.tid, victim.comm.as_str())).collect();
    results.equal(&format!("{name}.records"), &killed, &recorded);
    let (mut largest, mut freed_kb) = (0, 0);
    for kill in kills {
        let record = records.iter().find(|record| record.names_victim(kill.tid));
        if let Some(record) = record {
            let at = format!("{name}.{}", kill.comm);
            largest = largest.max(compare(&at, record, kill, freed_kb, collected, results));
        }
        freed_kb += kill.anon + kill.shmem;
    }
    if largest > 0 {
        results.remarks.push(format!("{name}: a resident size differs from the kernel log by {largest} kB"));
    }
}

/// How much the first record knows: this is what the table keeps.
fn known(scenario: &Scenario, record: &Record, results: &mut Results) {
    let at = |what: &str| format!("{}.{what}", scenario.name);
    let owner = match &record.limit_owner {
        Some(owner) => format!("{} ({})", owner.path.as_deref().unwrap_or("unknown path"), owner.grade),
        None if record.scope.kind == "global" => "nobody's".to_owned(),
        None => "unknown".to_owned(),
    };
    // Who asks first differs from run to run, and a kernel thread has less to tell.
    let is_steady = |name: &str| {
        scenario.asker != Asker::Anyone || !(name.starts_with("trigger.") || name == "user_stack")
    };
    let is_of_kernel = |name: &str| !CIRCUMSTANCES.contains(&name.split(['.', '[']).next().unwrap_or(name));
    let unknown = record.unknown.iter().map(String::as_str);
    let unknown: Vec<&str> = unknown.filter(|name| is_of_kernel(name) && is_steady(name)).collect();
    if !scenario.causes.is_empty() {
        let cause = record.cause.as_ref();
        let is_right = cause
            .is_some_and(|cause| scenario.causes.contains(&cause.kind.as_str()) && cause.confidence != "low");
        results.holds(&at("cause"), is_right, || (scenario.causes.join(" or "), format!("{cause:?}")));
    }
    results.note(at("hook"), &record.evidence.hook);
    results.note(at("scope"), &format!("{} ({})", record.scope.kind, record.scope.grade));
    results.note(at("limit-of"), &owner);
    results.note(at("kill-signal"), if record.evidence.kill_signal_seen { "seen" } else { "not seen" });
    results.note(at("unknown"), &if unknown.is_empty() { "nothing".to_owned() } else { unknown.join(", ") });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kernel_log, record, scenario::SCENARIOS};

    fn own_log() -> String {
        kernel_log::tests::LOG.lines().filter(|line| !line.contains("[    7.")).collect::<Vec<_>>().join("\n")
    }

    fn said(log: &str, counted: usize, records: &[&str]) -> Transcript {
        let mut text = format!(
            "=== own-limit/programs\nown 113\n=== own-limit/kills\n{counted}\n\
             === own-limit/events\n/own low 0 oom {counted} oom_kill {counted}\n=== own-limit/log\n{log}\n"
        );
        for record in records {
            text.push_str(&format!("=== own-limit/record\n{record}\n"));
        }
        Transcript::parse(&text)
    }

    fn judged(said: &Transcript) -> (Vec<String>, Results) {
        let results = judge(&SCENARIOS[0], said);
        (results.wrong.iter().map(|surprise| surprise.check.clone()).collect(), results)
    }

    #[test]
    fn a_kill_that_is_recorded_as_it_was_gives_values_for_the_table() {
        let (wrong, results) = judged(&said(&own_log(), 1, &[record::tests::JSON]));
        // The example's limit is the scenario's.
        assert_eq!(wrong, [""; 0]);
        assert_eq!(results.table["own-limit.scope"], "memcg (read)");
        assert_eq!(results.table["own-limit.limit-of"], "/own (read)");
        assert_eq!(
            results.table["own-limit.unknown"],
            "chain[].fail_count, limit_owner.fail_count, user_stack"
        );
    }

    #[test]
    fn a_kill_without_a_record_and_a_record_without_a_kill_are_wrong() {
        let (wrong, results) = judged(&said(&own_log(), 1, &[]));
        assert_eq!(wrong, ["own-limit.records"]);
        assert_eq!(results.wrong[0].expected, "[(113, \"own\")]");
        let (wrong, _) = judged(&said("", 0, &[record::tests::JSON]));
        assert_eq!(wrong, ["own-limit.kernel.kills", "own-limit.records"]);
    }

    #[test]
    fn a_scenario_that_the_guest_did_not_come_to_is_wrong() {
        assert_eq!(judged(&Transcript::default()).0, ["own-limit"]);
    }
}
