//! One row per recorded OOM kill.

use std::collections::HashMap;

use super::{Column, Data, Row, RowId, Scope, State, Value, by_cgroup, named, place, pod_of};
use crate::{
    container::name::Name,
    oom::{record::ScopeKind, story::workload_of},
    snapshot::{ContainerRow, age},
    store::KillSummary,
    top::column::Kind,
};

/// Seconds for which a kill is highlighted.
const NEWS: f64 = 300.0;

/// The facts of a row.
struct KillFacts<'a> {
    row: &'a KillSummary,
    container: Option<&'a ContainerRow>,
    age: f64,
    workload: &'a str,
    kills: u64,
}

/// The workload of a kill: restarts of a container and all pods of a Deployment are one.
fn workload(kill: &KillSummary) -> String {
    let KillSummary { namespace, pod, container, cgroup, .. } = kill;
    let (namespace, pod, container) = (namespace.clone(), pod.clone(), container.clone());
    let name = Name { namespace, pod, container, ..Name::default() };
    workload_of(Some(&name), cgroup.as_deref())
}

/// A function that gets the value of a column.
type Get = fn(&KillFacts<'_>) -> Value;

static CELLS: &[(Column, Get)] = &[
    (Column::new("time", "TIME (UTC)", Kind::Time, 1, "when the kernel marked the victim"), |of| {
        Value::Time(of.row.time)
    }),
    (Column::new("age_seconds", "AGO", Kind::Seconds, 4, "time since the kill").or(&["ago", "age"]), |of| {
        Value::Seconds(of.age)
    }),
    (
        Column::new("victim_comm", "VICTIM", Kind::Words(16), 0, "name of the process that was killed")
            .or(&["victim", "comm", "name"]),
        |of| Value::text(&of.row.victim_comm),
    ),
    (Column::new("victim_pid", "PID", Kind::Number, 2, "its process id").or(&["pid"]), |of| {
        of.row.victim_pid.map_or(Value::Unknown, |pid| Value::Number(pid.into()))
    }),
    (
        Column::new(
            "scope",
            "SCOPE",
            Kind::Words(6),
            5,
            "what ran out: the limit of a memory cgroup, or the node",
        ),
        |of| {
            Value::words(match of.row.scope {
                ScopeKind::Memcg => Some("memcg"),
                ScopeKind::Global => Some("node"),
                ScopeKind::Unknown => None,
            })
        },
    ),
    (Column::new("container", "CONTAINER", Kind::Name, 3, "container of the victim"), |of| {
        place(of.container, of.row.cgroup.as_deref())
    }),
    (
        Column::new("limit_owner", "LIMIT OF", Kind::Name, 6, "the cgroup whose limit was hit")
            .or(&["owner"]),
        |of| Value::words(of.row.limit_owner.as_deref()),
    ),
    (
        Column::new("kills", "KILLS", Kind::Number, 6, "kills of the same workload in this list")
            .or(&["again"]),
        |of| Value::Number(of.kills),
    ),
    (Column::new("id", "ID", Kind::Words(24), 7, "id of the record"), |of| Value::text(&of.row.id)),
    (
        Column::new(
            "workload",
            "WORKLOAD",
            Kind::Name,
            Column::HIDDEN,
            "the container with all its restarts, in all pods of a Deployment; sort by it to group the kills",
        ),
        |of| Value::text(of.workload),
    ),
    (Column::new("cgroup", "CGROUP", Kind::Name, Column::HIDDEN, "its memory cgroup"), |of| {
        Value::words(of.row.cgroup.as_deref())
    }),
    (
        Column::new("namespace", "NAMESPACE", Kind::Words(16), Column::HIDDEN, "Kubernetes namespace")
            .or(&["ns"]),
        |of| named(of.container, |name| name.namespace.as_ref()),
    ),
    (Column::new("pod", "POD", Kind::Words(24), Column::HIDDEN, "its pod"), |of| {
        named(of.container, |name| name.pod.as_ref())
    }),
];

pub(super) fn all_columns() -> Vec<&'static Column> {
    super::columns(CELLS)
}

pub(super) fn rows(data: &Data, scope: &Scope) -> Vec<Row> {
    let containers = by_cgroup(&data.snapshot);
    let pods: HashMap<&str, String> =
        data.snapshot.containers.iter().map(|row| (row.cgroup.as_str(), pod_of(row))).collect();
    let is_in = |kill: &&KillSummary| match scope {
        Scope::Node => true,
        Scope::Pod(key) => kill.cgroup.as_deref().and_then(|cgroup| pods.get(cgroup)) == Some(key),
        Scope::Container(cgroup) => kill.cgroup.as_ref() == Some(cgroup),
        Scope::Process(id) => kill.victim_pid == Some(id.pid),
    };
    let all = || data.kills.iter().flat_map(|kills| &kills.kills);
    let mut counts: HashMap<String, u64> = HashMap::new();
    all().for_each(|kill| *counts.entry(workload(kill)).or_default() += 1);
    all()
        .filter(is_in)
        .map(|row| {
            let workload = &workload(row);
            let kills = counts.get(workload).copied().unwrap_or_default();
            let container = row.cgroup.as_deref().and_then(|cgroup| containers.get(cgroup).copied());
            let age = age(data.snapshot.time, row.time);
            Row {
                id: RowId::Kill(row.id.clone()),
                values: super::values(CELLS, |value| {
                    value(&KillFacts { row, container, age, workload, kills })
                }),
                state: if age <= NEWS { State::Alarm } else { State::Calm },
            }
        })
        .collect()
}
