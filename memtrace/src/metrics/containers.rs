//! Series of each existing container.
//!
//! Rows of the snapshot and their insights -> families. Several cgroups may belong to one container: during its
//! replacement, or if it has cgroups below it. Unknown values have no series.

use std::collections::{BTreeMap, BTreeSet};

use super::family::Family;
use crate::{
    container::workload_labels::WorkloadLabels,
    snapshot::{ContainerRow, Snapshot},
    units::Bytes,
    verdict::{Confidence, Insight, Insights},
};

/// The usual number of series of a container, here and among the kills, to count omitted series.
pub(super) const EACH: u64 = 10;

/// A container.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    limit: Option<u64>,
    used: Option<f64>,
    firm: Option<f64>,
    growth: Option<f64>,
    seconds: Option<f64>,
    free: Option<u64>,
    advised_request: Option<u64>,
    advised_limit: Option<u64>,
    findings: BTreeSet<&'static str>,
}

/// The containers that get series, and the number of others. Those with a limit come first, then the order is by name,
/// so that the choice is stable.
pub(super) fn rows(
    snapshot: &Snapshot,
    insights: &Insights,
    most: usize,
) -> (BTreeMap<WorkloadLabels, Row>, u64) {
    let mut free: BTreeMap<&str, u64> = BTreeMap::new();
    for process in &snapshot.processes {
        let counters = process.memory.iter().flat_map(|memory| &memory.counters);
        let bytes = counters.filter_map(|counters| counters.free_resident_bytes).map(|Bytes(bytes)| bytes);
        if let (Some(cgroup), Some(bytes)) = (&process.cgroup, bytes.reduce(u64::saturating_add)) {
            let sum = free.entry(cgroup).or_default();
            *sum = sum.saturating_add(bytes);
        }
    }
    // Firm memory under each limit: a limit of a pod is shared by its containers.
    let firm: BTreeMap<&str, u64> =
        snapshot.containers.iter().filter_map(|row| Some((row.cgroup.as_str(), row.firm()?.0))).collect();
    let mut all: BTreeMap<WorkloadLabels, Row> = BTreeMap::new();
    // A group's figures are the sums of the rows below it.
    for container in snapshot.containers.iter().filter(|container| !container.is_group) {
        let join = WorkloadLabels::of(container.name.as_deref(), Some(&container.cgroup));
        if join.container.is_empty() {
            continue;
        }
        let free = free.get(container.cgroup.as_str()).copied();
        let firm = firm.get(container.limit.as_ref().map_or("", |limit| limit.owner.as_str())).copied();
        all.entry(join).or_default().take(container, insights.get(&container.cgroup), free, firm);
    }
    let left_out = all.len().saturating_sub(most);
    if left_out > 0 {
        let mut order: Vec<_> = all.iter().map(|(join, row)| (row.limit.is_none(), join.clone())).collect();
        order.sort();
        for (_, join) in order.into_iter().skip(most) {
            all.remove(&join);
        }
    }
    (all, left_out as u64)
}

fn merge<T>(slot: &mut Option<T>, value: Option<T>, both: impl FnOnce(T, T) -> T) {
    *slot = match (slot.take(), value) {
        (Some(one), Some(other)) => Some(both(one, other)),
        (one, other) => one.or(other),
    };
}

impl Row {
    fn take(&mut self, row: &ContainerRow, insight: Option<&Insight>, free: Option<u64>, firm: Option<u64>) {
        let limit = row.limit.as_ref().map(|limit| limit.bytes.0);
        let of_limit = |(used, limit): (u64, u64)| used as f64 / limit.max(1) as f64;
        let used = row.usage_bytes.map(|Bytes(used)| used).zip(limit).map(of_limit);
        // The owner of the limit may have no row.
        let firm = firm.or_else(|| row.firm().map(|Bytes(firm)| firm));
        merge(&mut self.limit, limit, u64::min);
        merge(&mut self.used, used, f64::max);
        merge(&mut self.firm, firm.zip(limit).map(of_limit), f64::max);
        merge(&mut self.free, free, u64::saturating_add);
        merge(&mut self.growth, insight.and_then(|of| of.growth_bytes_per_second), |a, b| a + b);
        merge(&mut self.seconds, insight.and_then(|of| of.seconds_to_limit), f64::min);
        let advised = |get: fn(&Insight) -> Option<Bytes>| insight.and_then(get).map(|Bytes(bytes)| bytes);
        merge(&mut self.advised_request, advised(|of| of.advised_request_bytes), u64::max);
        merge(&mut self.advised_limit, advised(|of| of.advised_limit_bytes), u64::max);
        let findings = insight.into_iter().flat_map(|of| &of.findings);
        // Findings of low confidence must not cause alerts.
        let sure = findings.filter(|finding| finding.confidence > Confidence::Low);
        self.findings.extend(sure.map(|finding| finding.kind.name()));
    }
}

type Get = fn(&Row) -> Option<f64>;

pub(super) fn families(rows: &BTreeMap<WorkloadLabels, Row>) -> Vec<Family> {
    let gauges: [(&str, &str, Get); 8] = [
        (
            "memtrace_container_effective_limit_bytes",
            "The lowest memory limit from the container's cgroup up to the root: its own, its pod's or another's.",
            |row| row.limit.map(|bytes| bytes as f64),
        ),
        (
            "memtrace_container_limit_used_ratio",
            "Charged memory as a share of that limit. Page cache counts, so 1 is normal for a container that reads files.",
            |row| row.used,
        ),
        (
            "memtrace_container_limit_firm_ratio",
            "Memory that the kernel cannot reclaim, without page cache and reclaimable slab, of all that share that limit, \
             as a share of it. At 1 the next allocation is an OOM kill.",
            |row| row.firm,
        ),
        (
            "memtrace_container_growth_bytes_per_second",
            "Growth of unreclaimable memory, a robust estimate over the last 2 minutes.",
            |row| row.growth,
        ),
        (
            "memtrace_container_time_to_limit_seconds",
            "Time until that limit at that growth; absent without growth.",
            |row| row.seconds,
        ),
        (
            "memtrace_container_allocator_free_bytes",
            "Free memory in allocators that is still resident.",
            |row| row.free.map(|bytes| bytes as f64),
        ),
        (
            "memtrace_container_advised_request_bytes",
            "The memory request that the history of its workload gives (memtrace advise); absent without a day of it and \
             for growth without end.",
            |row| row.advised_request.map(|bytes| bytes as f64),
        ),
        (
            "memtrace_container_advised_limit_bytes",
            "The memory limit that the history of its workload gives; a lower bound if its limit was reached.",
            |row| row.advised_limit.map(|bytes| bytes as f64),
        ),
    ];
    let mut families: Vec<Family> = gauges
        .into_iter()
        .map(|(name, help, get)| {
            let mut family = Family::gauge(name, help);
            for (join, row) in rows {
                if let Some(value) = get(row) {
                    family.add_of(join, &[], value);
                }
            }
            family
        })
        .collect();
    let mut findings = Family::gauge(
        "memtrace_container_finding",
        "1 for each verdict on the container's memory with medium or high confidence.",
    );
    for (join, row) in rows {
        for kind in &row.findings {
            findings.add_of(join, &[("kind", kind)], 1.0);
        }
    }
    families.push(findings);
    families
}
