//! The verdict task: follows the published snapshots, keeps their history, and derives findings from it.
//!
//! Input: snapshots, kills. Output: an `Arc<Insights>` for whoever watches, and the history for the recorder. Reads the
//! charge of cgroups that have a limit but no processes of their own, which no snapshot shows.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use tokio::sync::watch;

use crate::{
    allocator::counters::Counters,
    cgroup::{hierarchy::Hierarchy, memcg},
    clock,
    container::workload_labels::WorkloadLabels,
    health::Beat,
    history::{FIGURES, Figure, Figures, series::Point, shared::Shared},
    snapshot::{ContainerRow, Snapshot},
    text::unescape,
    units::Bytes,
    verdict::{self, Finding, Insight, Insights, Picture, shape::Shape, trend},
};

/// Points of the trend, one per second.
const TREND: usize = 120;
/// Interval between two evaluations of the findings, in ns: the statistics use all pairs of points.
const JUDGED_FOR: u64 = 10_000_000_000;
/// The slowest growth that gives a time until the limit: 1 MiB per hour.
const SLOWEST: f64 = (1 << 20) as f64 / 3600.0;

/// Starts it on the current runtime; it ends with the sender of the snapshots.
pub fn start(
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    hierarchy: Option<Hierarchy>,
    shared: Shared,
    beat: Beat,
) -> watch::Receiver<Arc<Insights>> {
    let (sender, receiver) = watch::channel(Arc::default());
    let mut judged = Judged::default();
    tokio::spawn(async move {
        while snapshots.changed().await.is_ok() {
            beat.beat();
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            let now = clock::ktime();
            let mut history = shared.history();
            history.take(&snapshot, now);
            for (path, figures) in owners(&snapshot, hierarchy.as_ref()) {
                history.read(&path, None, figures, now);
            }
            drop(history);
            let insights = insights(&snapshot, &shared, &mut judged, now);
            sender.send_replace(Arc::new(insights));
            beat.rest();
        }
    });
    receiver
}

/// Cgroups without a row whose limit applies to a process.
fn owners(snapshot: &Snapshot, hierarchy: Option<&Hierarchy>) -> Vec<(String, Figures)> {
    let Some(hierarchy) = hierarchy else { return Vec::new() };
    let shown: BTreeSet<&str> = snapshot.containers.iter().map(|row| row.cgroup.as_str()).collect();
    let limits = snapshot.containers.iter().filter_map(|row| row.limit.as_ref());
    let owners: BTreeMap<&str, Bytes> = limits.map(|limit| (limit.owner.as_str(), limit.bytes)).collect();
    owners
        .into_iter()
        .filter(|(owner, _)| !shown.contains(owner))
        .map(|(owner, limit)| {
            let mut figures: Figures = [None; FIGURES];
            let mut set = |figure: Figure, value| {
                if let Some(slot) = figures.get_mut(figure as usize) {
                    *slot = value;
                }
            };
            set(Figure::Usage, memcg::usage(hierarchy, &unescape(owner)));
            set(Figure::Limit, Some(limit));
            (owner.to_owned(), figures)
        })
        .collect()
}

/// The findings of each container, and when they were made.
type Judged = HashMap<String, (u64, Vec<Finding>)>;

/// Insights from history for each row of the snapshot.
fn insights(snapshot: &Snapshot, shared: &Shared, judged: &mut Judged, now: u64) -> Insights {
    let is_due = |judged: &Judged, row: &ContainerRow| {
        judged.get(&row.cgroup).is_none_or(|(made, _)| made.saturating_add(JUDGED_FOR) <= now)
    };
    let mut counters: HashMap<&str, Vec<Counters>> = HashMap::new();
    if snapshot.containers.iter().any(|row| is_due(judged, row)) {
        for process in snapshot.rows() {
            if let (Some(cgroup), Some(memory)) = (&process.cgroup, &process.memory) {
                counters.entry(cgroup).or_default().extend(memory.counters.iter().cloned());
            }
        }
    }
    let mut insight = |row: &ContainerRow| {
        let is_due = is_due(judged, row);
        let (recent, all, trend_bytes) = {
            let history = shared.history();
            let series = history.container(&row.cgroup)?;
            let all = is_due.then(|| series.points());
            (series.recent(TREND), all, series.last(TREND, now, Figure::Usage as usize))
        };
        let samples = trend::samples(&recent, Figure::Anon as usize);
        let growth = trend::slope(trend::since_restart(&samples));
        let room = row
            .limit
            .as_ref()
            .and_then(|limit| Some(limit.bytes.0.saturating_sub(row.firm().or(row.usage_bytes)?.0)));
        let (made, findings) = judged.entry(row.cgroup.clone()).or_default();
        if let Some(points) = all {
            let counters = counters.get(row.cgroup.as_str()).map_or(&[][..], Vec::as_slice);
            (*made, *findings) = (now, judge(row, &points, counters));
        }
        Some(Insight {
            trend_bytes,
            growth_bytes_per_second: growth,
            seconds_to_limit: growth
                .filter(|growth| *growth >= SLOWEST)
                .zip(room)
                .map(|(growth, room)| room as f64 / growth),
            kills: shared.kills(&WorkloadLabels::of(row.name.as_deref(), Some(&row.cgroup))),
            findings: findings.clone(),
        })
    };
    let insights: Insights =
        snapshot.containers.iter().filter_map(|row| Some((row.cgroup.clone(), insight(row)?))).collect();
    judged.retain(|cgroup, _| insights.contains_key(cgroup));
    insights
}

fn judge(row: &ContainerRow, points: &[Point<FIGURES>], counters: &[Counters]) -> Vec<Finding> {
    let samples = trend::samples(points, Figure::Anon as usize);
    let shape = Shape::of(&samples);
    let firm = |point: &Point<FIGURES>| {
        let of = |figure: Figure| point.values.get(figure as usize).copied().flatten();
        let (Bytes(shmem), Bytes(kernel)) = (of(Figure::Shmem)?, of(Figure::Kernel).unwrap_or_default());
        Some(Bytes(of(Figure::Anon)?.0.saturating_add(shmem).saturating_add(kernel)))
    };
    verdict::findings(&Picture {
        samples: &samples,
        shape: shape.as_ref().map_err(Clone::clone),
        firm: row.firm(),
        firm_peak: points.iter().filter_map(firm).max(),
        limit: row.limit.as_ref().map(|limit| limit.bytes),
        arenas: &row.arenas,
        counters,
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{Bytes, Judged, Shared, Snapshot, WorkloadLabels, insights};
    use crate::{
        cgroup::memcg::Limit,
        snapshot::{ContainerRow, Node},
        verdict::Kind,
    };

    const MIB: u64 = 1 << 20;

    fn snapshot(usage: u64) -> Snapshot {
        let row = ContainerRow {
            processes: 1,
            usage_bytes: Some(Bytes(usage)),
            limit: Some(Limit { bytes: Bytes(1000 * MIB), owner: "/a".into() }),
            rss_bytes: Bytes(usage),
            ..ContainerRow::empty("/a".into())
        };
        Snapshot {
            schema: 1,
            time: Timestamp::UNIX_EPOCH,
            tracer: None,
            processes: Vec::new(),
            containers: vec![row],
            node: Node::default(),
        }
    }

    #[test]
    fn the_time_until_the_limit_comes_from_the_robust_growth() {
        let shared = Shared::default();
        for second in 1..=100_u64 {
            shared.history().take(&snapshot(second * 5 * MIB), second * 1_000_000_000);
        }
        let now = 100_500_000_000;
        (0..3).for_each(|_| shared.count_kills(WorkloadLabels::of(None, Some("/a")), 1));
        let insight = &insights(&snapshot(500 * MIB), &shared, &mut Judged::default(), now)["/a"];
        assert_eq!(insight.growth_bytes_per_second, Some((5 * MIB) as f64));
        assert_eq!(insight.seconds_to_limit, Some(100.0));
        assert_eq!(insight.kills, 3);
        assert!(insight.findings.iter().any(|finding| finding.kind == Kind::Leak), "{insight:?}");
        assert_eq!(insight.trend_bytes.last().unwrap(), &Some(Bytes(500 * MIB)));
        assert_eq!(insight.trend_bytes.iter().flatten().count(), 100);
    }

    #[test]
    fn one_reading_is_no_trend() {
        let shared = Shared::default();
        shared.history().take(&snapshot(MIB), 1_000_000_000);
        let insight = &insights(&snapshot(MIB), &shared, &mut Judged::default(), 1_000_000_000)["/a"];
        assert_eq!((insight.growth_bytes_per_second, insight.seconds_to_limit), (None, None));
    }
}
