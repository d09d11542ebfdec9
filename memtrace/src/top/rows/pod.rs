//! One row per pod: the sums of its containers. Other containers are grouped by the directory of their cgroup.

use std::collections::{BTreeMap, HashMap};

use super::{Column, Data, Row, RowId, Scope, State, Value, container};
use crate::{
    cgroup::{hierarchy::is_within, memcg::Limit},
    container::name::Name,
    snapshot::ContainerRow,
    top::column::Kind,
    units::Bytes,
};

/// The facts of a row.
struct PodFacts<'a> {
    key: &'a str,
    rows: &'a [&'a ContainerRow],
    data: &'a Data,
}

/// A function that gets the value of a column.
type Get = fn(&PodFacts<'_>) -> Value;

static CELLS: &[(Column, Get)] = &[
    (
        Column::new("name", "POD", Kind::Name, 0, "namespace/pod, or the directory of the cgroups")
            .or(&["pod"]),
        |of| Value::text(of.key),
    ),
    (
        Column::new("usage_bytes", "USED", Kind::Bytes, 1, "memory charged to its containers")
            .or(&["used", "mem", "usage"]),
        |of| Value::bytes(sum(of, |row| row.usage_bytes)),
    ),
    (
        Column::new(
            "limit_bytes",
            "LIMIT",
            Kind::Bytes,
            3,
            "its limit, or the sum of its containers' limits",
        )
        .or(&["limit"]),
        |of| Value::bytes(limit(of)),
    ),
    (
        Column::new("limit_share", "OF LIMIT", Kind::Bar, 2, "usage as a share of the limit")
            .or(&["share", "%", "pct"]),
        |of| Value::share_of(sum(of, |row| row.usage_bytes), limit(of)),
    ),
    (
        Column::new(
            "growth_bytes_per_second",
            "GROW/s",
            Kind::Change,
            4,
            "growth of unreclaimable memory per second",
        )
        .or(&["growth", "grow", "rate"]),
        |of| {
            let growths =
                of.rows.iter().filter_map(|row| of.data.insights.get(&row.cgroup)?.growth_bytes_per_second);
            Value::change(growths.reduce(|sum, growth| sum + growth))
        },
    ),
    (
        Column::new(
            "seconds_to_limit",
            "ETA",
            Kind::Seconds,
            5,
            "time until its first container reaches its limit",
        )
        .or(&["eta"]),
        |of| {
            let times = of.rows.iter().filter_map(|row| of.data.insights.get(&row.cgroup)?.seconds_to_limit);
            Value::seconds(times.reduce(f64::min))
        },
    ),
    (Column::new("anon_bytes", "ANON", Kind::Bytes, 7, "heaps and stacks").or(&["anon"]), |of| {
        Value::bytes(sum(of, |row| row.charge.as_ref()?.anon_bytes))
    }),
    (Column::new("file_bytes", "FILE", Kind::Bytes, 8, "page cache of files").or(&["file", "cache"]), |of| {
        Value::bytes(sum(of, container::file))
    }),
    (Column::new("kernel_bytes", "KERN", Kind::Bytes, 9, "kernel memory").or(&["kernel", "kern"]), |of| {
        Value::bytes(sum(of, |row| row.charge.as_ref()?.kernel()))
    }),
    (Column::new("kills", "KILLS", Kind::Count, 6, "OOM kills of its processes").or(&["oom"]), |of| {
        let kills = of.rows.iter().filter_map(|row| Some(of.data.insights.get(&row.cgroup)?.kills));
        kills.reduce(u64::saturating_add).map_or(Value::Unknown, Value::Count)
    }),
    (Column::new("containers", "CONTS", Kind::Count, 10, "its containers").or(&["conts"]), |of| {
        Value::Count(of.rows.iter().filter(|row| !row.is_group).count() as u64)
    }),
    (Column::new("processes", "PROCS", Kind::Count, 11, "its processes").or(&["procs"]), |of| {
        Value::Count(of.rows.iter().map(|row| row.processes as u64).sum())
    }),
];

fn has_pod(name: &Name) -> bool {
    name.pod.is_some() || name.pod_uid.is_some()
}

/// The key of a pod: `namespace/pod`, else the directory of the cgroup.
pub fn key(row: &ContainerRow) -> String {
    if let Some(name) = &row.name
        && let Some(pod) = name.pod.clone().or_else(|| Some(format!("pod {}", name.pod_uid.as_ref()?)))
    {
        return name.namespace.iter().cloned().chain([pod]).collect::<Vec<_>>().join("/");
    }
    match row.cgroup.rsplit_once('/') {
        Some(("", _)) | None => "/".to_owned(),
        Some((directory, _)) => format!("{directory}/"),
    }
}

/// The sum over the outermost containers, because a charge includes descendants.
fn sum(of: &PodFacts<'_>, figure: impl Fn(&ContainerRow) -> Option<Bytes>) -> Option<Bytes> {
    let is_inside = |row: &ContainerRow| {
        of.rows.iter().any(|other| other.cgroup != row.cgroup && is_within(&row.cgroup, &other.cgroup))
    };
    let figures = of.rows.iter().filter(|row| !is_inside(row)).map(|row| figure(row));
    figures.reduce(|sum, more| Some(Bytes(sum?.0.saturating_add(more?.0))))?
}

/// The limit that all containers share, else the sum of their own limits; `None` when one has none.
fn limit(of: &PodFacts<'_>) -> Option<Bytes> {
    if let Some(group) = of.rows.iter().find(|row| row.is_group) {
        return group.limit.as_ref().map(|limit| limit.bytes);
    }
    let limits: BTreeMap<&str, Bytes> = of
        .rows
        .iter()
        .map(|row| row.limit.as_ref().map(|Limit { bytes, owner }| (owner.as_str(), *bytes)))
        .collect::<Option<_>>()?;
    limits.into_values().map(|Bytes(bytes)| bytes).reduce(u64::saturating_add).map(Bytes)
}

pub(super) fn all_columns() -> Vec<&'static Column> {
    super::columns(CELLS)
}

pub(super) fn rows(data: &Data) -> Vec<Row> {
    let mut pods: BTreeMap<String, Vec<&ContainerRow>> = BTreeMap::new();
    // A directory's own limit is shown in its own row, but a pod's limit counts for the pod.
    let is_counted = |row: &&ContainerRow| !row.is_group || row.name.as_deref().is_some_and(has_pod);
    for row in data.snapshot.containers.iter().filter(is_counted) {
        pods.entry(key(row)).or_default().push(row);
    }
    let states: HashMap<RowId, State> =
        container::rows(data, &Scope::Node).into_iter().map(|row| (row.id, row.state)).collect();
    pods.into_iter()
        .map(|(key, rows)| {
            let of = PodFacts { key: &key, rows: &rows, data };
            let state_of = |row: &&ContainerRow| states.get(&RowId::Container(row.cgroup.clone())).copied();
            let state = rows.iter().filter_map(state_of).max().unwrap_or_default();
            let values = super::values(CELLS, |value| value(&of));
            Row { id: RowId::Pod(key), values, state }
        })
        .collect()
}
