//! Counts of OOM kills, which survive restarts of containers and of the daemon.
//!
//! Tallies and members' kills of the store -> families. An existing container has a count of 0 before its first kill,
//! otherwise the first kill would not show as an increase. When there are too many containers, existing ones take
//! precedence, then those with the newest kills.

use std::collections::{BTreeMap, BTreeSet};

use super::{containers::Row, family::Family};
use crate::{container::workload_labels::WorkloadLabels, store::Tally};

/// The scope of the initial count of a container.
const USUAL: &str = "memcg";

/// The families, and the number of omitted series. The tallies are sorted, newest kill first.
pub(super) fn families(
    tallies: &[Tally],
    rows: &BTreeMap<WorkloadLabels, Row>,
    most: usize,
) -> ([Family; 4], u64) {
    let mut shown: BTreeSet<&WorkloadLabels> = rows.keys().collect();
    let (mut by_scope, mut victims, mut last) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for join in rows.keys() {
        by_scope.insert((join, USUAL), 0);
        victims.insert(join, 0);
    }
    let mut left_out = 0;
    let mut all = 0_u64;
    for Tally { join, scope, cause, kills, victims: count, last: time } in tallies {
        all = all.saturating_add(*kills);
        if *join == WorkloadLabels::default() {
            continue;
        }
        if !shown.contains(join) {
            if shown.len() >= most {
                left_out += 1;
                continue;
            }
            shown.insert(join);
        }
        *by_scope.entry((join, scope.as_str())).or_default() += kills;
        *victims.entry(join).or_default() += count;
        last.entry((join, cause.as_str())).or_insert(*time);
    }
    let mut kills_by_scope = Family::counter(
        "memtrace_oom_kills_total",
        "OOM kills of the container's processes, by what ran out: memcg (its own or an ancestor's limit), pod, node, \
         cpuset, unknown. Holds over restarts of the container and of memtrace.",
    );
    for ((join, scope), kills) in by_scope {
        kills_by_scope.add_of(join, &[("scope", scope)], kills as f64);
    }
    let mut processes = Family::counter(
        "memtrace_oom_victims_total",
        "Processes killed in these OOM kills; more than one if memory.oom.group is set.",
    );
    for (join, victims) in victims {
        processes.add_of(join, &[], victims as f64);
    }
    let mut times = Family::gauge(
        "memtrace_last_oom_kill_timestamp_seconds",
        "Time of the last OOM kill of the container, by cause.",
    );
    for ((join, cause), time) in last {
        times.add_of(join, &[("cause", cause)], time.as_millisecond() as f64 / 1000.0);
    }
    let node = Family::counter("memtrace_node_oom_kills_total", "All OOM kills recorded on this node.");
    ([kills_by_scope, processes, times, node.one(Some(all as f64))], left_out)
}

/// The kills of members, and the number of omitted series. The counts are sorted, newest kill first.
pub(super) fn members(
    counts: &[(WorkloadLabels, u64)],
    rows: &BTreeMap<WorkloadLabels, Row>,
    most: usize,
) -> (Family, u64) {
    let mut shown: BTreeMap<&WorkloadLabels, u64> = rows.keys().map(|join| (join, 0)).collect();
    let mut left_out = 0;
    for (join, count) in counts.iter().filter(|(join, _)| !join.container.is_empty()) {
        if shown.len() >= most && !shown.contains_key(join) {
            left_out += 1;
            continue;
        }
        *shown.entry(join).or_default() += count;
    }
    let mut family = Family::counter(
        "memtrace_member_oom_kills_total",
        "OOM kills of processes while the first process of their container kept running; no runtime reports these. \
         Includes kills before restarts of the container and of memtrace.",
    );
    for (join, count) in shown {
        family.add_of(join, &[], count as f64);
    }
    (family, left_out)
}
