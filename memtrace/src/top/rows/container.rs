//! One row per container: its charge, its limit, and its use by kind.

use std::collections::HashMap;

use super::{Column, Data, Row, RowId, Scope, State, Value, label, slack};
use crate::{
    snapshot::ContainerRow,
    top::column::Kind,
    units::Bytes,
    verdict::{self, Confidence, Finding, Insight},
};

/// The share of its limit above which a container is a warning.
const NEAR: f64 = 0.80;
/// The share above which it is an alarm.
const AT: f64 = 0.95;
/// Seconds to the limit below which it is a warning.
const SOON: f64 = 3600.0;
/// Seconds to the limit below which it is an alarm.
const NOW: f64 = 300.0;
/// The share of time in which tasks waited for memory, above which it is a warning.
const WAITING: f64 = 0.10;

/// The facts of a row.
pub(super) struct ContainerFacts<'a> {
    row: &'a ContainerRow,
    insight: Option<&'a Insight>,
    slack: Option<Bytes>,
}

const H: u8 = Column::HIDDEN;

/// A function that gets the value of a column.
type Get = fn(&ContainerFacts<'_>) -> Value;

static CELLS: &[(Column, Get)] = &[
    (
        Column::new("name", "CONTAINER", Kind::Name, 0, "namespace/pod/container, a unit, or the cgroup"),
        |of| Value::Text(label(of.row)),
    ),
    (
        Column::new("usage_bytes", "USED", Kind::Bytes, 1, "charged memory, including descendants")
            .or(&["used", "mem", "usage"]),
        |of| Value::bytes(of.row.usage_bytes),
    ),
    (
        Column::new("limit_bytes", "LIMIT", Kind::Bytes, 3, "lowest limit that applies to it").or(&["limit"]),
        |of| Value::bytes(limit(of)),
    ),
    (
        Column::new("limit_share", "OF LIMIT", Kind::Bar, 2, "usage as a share of the limit")
            .or(&["share", "%", "pct"]),
        |of| Value::share_of(of.row.usage_bytes, limit(of)),
    ),
    (
        Column::new("trend_bytes", "TREND/2m", Kind::Trend, 4, "usage over the last 2 minutes")
            .or(&["trend"]),
        |of| match of.insight.map(|insight| &insight.trend_bytes) {
            Some(points) if points.iter().flatten().count() > 1 => Value::Trend(points.as_slice().into()),
            Some(_) | None => Value::Unknown,
        },
    ),
    (
        Column::new(
            "growth_bytes_per_second",
            "GROW/s",
            Kind::Change,
            5,
            "growth of unreclaimable memory per second",
        )
        .or(&["growth", "grow", "rate"]),
        |of| Value::change(of.insight.and_then(|insight| insight.growth_bytes_per_second)),
    ),
    (
        Column::new("seconds_to_limit", "ETA", Kind::Seconds, 6, "time until the limit at that growth")
            .or(&["eta"]),
        |of| Value::seconds(of.insight.and_then(|insight| insight.seconds_to_limit)),
    ),
    (Column::new("anon_bytes", "ANON", Kind::Bytes, 8, "heaps and stacks").or(&["anon"]), |of| {
        Value::bytes(of.row.charge.as_ref().and_then(|charge| charge.anon_bytes))
    }),
    (Column::new("file_bytes", "FILE", Kind::Bytes, 9, "page cache of files").or(&["file", "cache"]), |of| {
        Value::bytes(file(of.row))
    }),
    (
        Column::new("shmem_bytes", "SHMEM", Kind::Bytes, 12, "shared memory and tmpfs")
            .or(&["shmem", "tmpfs"]),
        |of| Value::bytes(of.row.charge.as_ref().and_then(|charge| charge.shmem_bytes)),
    ),
    (
        Column::new(
            "kernel_bytes",
            "KERN",
            Kind::Bytes,
            11,
            "kernel memory: slab, stacks, page tables, sockets",
        )
        .or(&["kernel", "kern"]),
        |of| Value::bytes(of.row.charge.as_ref().and_then(|charge| charge.kernel())),
    ),
    (
        Column::new("slack_bytes", "SLACK", Kind::Bytes, 10, "free in its allocators but resident")
            .or(&["slack", "free"]),
        |of| Value::bytes(of.slack),
    ),
    (Column::new("swap_bytes", "SWAP", Kind::Bytes, 14, "swapped out").or(&["swap"]), |of| {
        Value::bytes(of.row.charge.as_ref().and_then(|charge| charge.swap_bytes))
    }),
    (
        Column::new(
            "pressure_some10",
            "PSI",
            Kind::Share,
            13,
            "share of 10 s in which a task waited for memory",
        )
        .or(&["psi", "pressure"]),
        |of| pressure(of).map_or(Value::Unknown, Value::Share),
    ),
    (
        Column::new("kills", "KILLS", Kind::Count, 7, "OOM kills of its processes, including restarts")
            .or(&["oom"]),
        |of| of.insight.map_or(Value::Unknown, |insight| Value::Count(insight.kills)),
    ),
    (Column::new("processes", "PROCS", Kind::Count, 15, "number of processes").or(&["procs"]), |of| {
        Value::Count(of.row.processes as u64)
    }),
    (Column::new("verdict", "VERDICT", Kind::Sentence, 7, "verdict on its memory").or(&["finding"]), |of| {
        of.insight.and_then(|insight| insight.findings.first()).map_or(Value::Unknown, verdict)
    }),
    (Column::new("namespace", "NAMESPACE", Kind::Words(16), H, "Kubernetes namespace").or(&["ns"]), |of| {
        Value::words(of.row.name.as_ref().and_then(|name| name.namespace.as_deref()))
    }),
    (Column::new("pod", "POD", Kind::Words(24), H, "its pod"), |of| {
        Value::words(of.row.name.as_ref().and_then(|name| name.pod.as_deref()))
    }),
    (
        Column::new("container", "NAME", Kind::Words(16), H, "name in the pod or the runtime").or(&["c"]),
        |of| Value::words(of.row.name.as_ref().and_then(|name| name.container.as_deref())),
    ),
    (Column::new("image", "IMAGE", Kind::Words(24), H, "image as requested"), |of| {
        Value::words(of.row.name.as_ref().and_then(|name| name.image.as_deref()))
    }),
    (Column::new("cgroup", "CGROUP", Kind::Name, H, "path of its cgroup"), |of| Value::text(&of.row.cgroup)),
    (
        Column::new("limit_owner", "LIMIT OF", Kind::Name, H, "cgroup that sets the limit").or(&["owner"]),
        |of| Value::words(of.row.limit.as_ref().map(|limit| limit.owner.as_str())),
    ),
    (
        Column::new(
            "working_set_bytes",
            "WSET",
            Kind::Bytes,
            H,
            "usage without inactive file pages, as in the kubelet",
        )
        .or(&["wset", "ws"]),
        |of| Value::bytes(of.row.charge.as_ref().and_then(|charge| charge.working_set_bytes)),
    ),
    (
        Column::new("peak_bytes", "PEAK", Kind::Bytes, H, "highest usage recorded by the kernel")
            .or(&["peak"]),
        |of| Value::bytes(of.row.charge.as_ref().and_then(|charge| charge.peak_bytes)),
    ),
    (
        Column::new("rss_bytes", "RSS", Kind::Bytes, H, "total resident memory of its processes")
            .or(&["rss"]),
        |of| Value::Bytes(of.row.rss_bytes),
    ),
    (
        Column::new("advised_limit_bytes", "ADV LIM", Kind::Bytes, H, "limit by `memtrace advise`")
            .or(&["advised"]),
        |of| Value::bytes(of.insight.and_then(|insight| insight.advised_limit_bytes)),
    ),
    (Column::new("advised_request_bytes", "ADV REQ", Kind::Bytes, H, "request by `memtrace advise`"), |of| {
        Value::bytes(of.insight.and_then(|insight| insight.advised_request_bytes))
    }),
    (Column::new("charge_age_seconds", "READ", Kind::Seconds, H, "age of the figures").or(&["read"]), |of| {
        Value::seconds(of.row.charge_age_seconds)
    }),
    (Column::new("limit_hits", "HITS", Kind::Count, H, "how often the limit was hit").or(&["hits"]), |of| {
        let hits = of.row.charge.as_ref().and_then(|charge| charge.max_events);
        hits.map_or(Value::Unknown, Value::Count)
    }),
];

fn limit(of: &ContainerFacts<'_>) -> Option<Bytes> {
    of.row.limit.as_ref().map(|limit| limit.bytes)
}

fn pressure(of: &ContainerFacts<'_>) -> Option<f64> {
    of.row.charge.as_ref()?.pressure_some10
}

/// Page cache, active or not.
pub fn file(row: &ContainerRow) -> Option<Bytes> {
    let charge = row.charge.as_ref()?;
    let parts = [charge.active_file_bytes, charge.inactive_file_bytes];
    parts.into_iter().flatten().map(|Bytes(bytes)| bytes).reduce(u64::saturating_add).map(Bytes)
}

/// `leak: it grows by 1.2 MiB/s`; findings of low confidence have a question mark.
fn verdict(finding: &Finding) -> Value {
    let doubt = match finding.confidence {
        Confidence::Low => "?",
        Confidence::Medium | Confidence::High => "",
    };
    Value::Text(format!("{}{doubt}: {}", finding.kind.name(), finding.sentence))
}

pub(super) fn all_columns() -> Vec<&'static Column> {
    super::columns(CELLS)
}

pub(super) fn rows(data: &Data, scope: &Scope) -> Vec<Row> {
    let slacks = slacks(data);
    scope
        .containers(&data.snapshot)
        .map(|row| {
            let facts = ContainerFacts {
                row,
                insight: data.insights.get(&row.cgroup),
                slack: slacks.get(row.cgroup.as_str()).copied(),
            };
            Row {
                id: RowId::Container(row.cgroup.clone()),
                values: super::values(CELLS, |value| value(&facts)),
                state: state(row, facts.insight),
            }
        })
        .collect()
}

/// Free memory in the allocators, by cgroup.
pub(super) fn slacks(data: &Data) -> HashMap<&str, Bytes> {
    let mut slacks: HashMap<&str, Bytes> = HashMap::new();
    for process in &data.snapshot.processes {
        if let (Some(cgroup), Some(Bytes(free))) = (&process.cgroup, slack(process)) {
            let sum = slacks.entry(cgroup).or_default();
            sum.0 = sum.0.saturating_add(free);
        }
    }
    slacks
}

/// How urgent a container is.
pub fn state(row: &ContainerRow, insight: Option<&Insight>) -> State {
    let limit = row.limit.as_ref().map(|limit| limit.bytes);
    let share =
        row.usage_bytes.zip(limit).map(|(Bytes(used), Bytes(limit))| used as f64 / limit.max(1) as f64);
    let eta = insight.and_then(|insight| insight.seconds_to_limit);
    let waiting = row.charge.as_ref().and_then(|charge| charge.pressure_some10);
    let leaks = insight.is_some_and(|insight| {
        insight
            .findings
            .iter()
            .any(|finding| finding.kind == verdict::Kind::Leak && finding.confidence > Confidence::Low)
    });
    if share.is_some_and(|share| share >= AT) || eta.is_some_and(|eta| eta <= NOW) {
        State::Alarm
    } else if share.is_some_and(|share| share >= NEAR)
        || eta.is_some_and(|eta| eta <= SOON)
        || waiting.is_some_and(|waiting| waiting >= WAITING)
        || leaks
    {
        State::Warning
    } else {
        State::Calm
    }
}
