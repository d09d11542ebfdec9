//! The node at a past time, from history, in the form of a snapshot.
//!
//! The history and the latest snapshot -> an [`Update`] of that time. It contains the containers with their usage,
//! limit and kinds; history has no processes or allocator counters. Names are the current ones, for containers that
//! still exist. Must not hold the lock on the history over more than one series: the verdict and the recorder wait for it.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;

use crate::{
    api::v1::Update,
    cgroup::{charge::Charge, memcg::Limit},
    clock,
    history::{FIGURES, Figure, series::Point, shared::Shared},
    snapshot::{ContainerRow, Node, SCHEMA, Snapshot},
    units::Bytes,
    verdict::{Insight, Insights},
};

/// Seconds of the trend before the time.
const TREND: u64 = 120;

/// The update of a wall-clock time; `None` when history has nothing of it.
pub fn history_at(history: &Shared, latest: &Snapshot, at: Timestamp) -> Option<Update> {
    // In nanoseconds: rounded to seconds, the same time could become another second in the next request.
    let ago = Timestamp::now().duration_since(at).as_nanos();
    let second = u64::try_from(i128::from(clock::ktime()) - ago).ok()? / 1_000_000_000;
    update(history, latest, at, second)
}

/// The update of a second since boot; `None` when history has nothing of it.
fn update(history: &Shared, latest: &Snapshot, at: Timestamp, second: u64) -> Option<Update> {
    let now: HashMap<&str, &ContainerRow> =
        latest.containers.iter().map(|row| (row.cgroup.as_str(), row)).collect();
    let mut insights = Insights::new();
    let cgroups: Vec<String> = history.history().containers().map(|(cgroup, _)| cgroup.to_owned()).collect();
    let mut containers: Vec<ContainerRow> = cgroups
        .iter()
        .filter_map(|cgroup| {
            let points = history.history().container(cgroup)?.points();
            let then = points.iter().find(|point| holds(point, second))?;
            let insight = Insight { trend_bytes: trend(&points, second), ..Insight::default() };
            insights.insert(cgroup.clone(), insight);
            Some(row(cgroup, then, now.get(cgroup.as_str()).copied()))
        })
        .collect();
    containers.sort_by(|a, b| (b.usage_bytes, &a.cgroup).cmp(&(a.usage_bytes, &b.cgroup)));
    let snapshot = Snapshot {
        schema: SCHEMA,
        time: at,
        tracer: None,
        processes: Vec::new(),
        containers,
        node: Node::default(),
    };
    let is_known = !snapshot.containers.is_empty();
    is_known.then(|| Update { snapshot: Arc::new(snapshot), insights: Arc::new(insights) })
}

fn holds(point: &Point<FIGURES>, second: u64) -> bool {
    (point.second..point.second.saturating_add(point.length)).contains(&second)
}

/// One value per second up to `second`; the value of an interval is repeated for each of its seconds.
fn trend(points: &[Point<FIGURES>], second: u64) -> Vec<Option<Bytes>> {
    let first = second.saturating_sub(TREND - 1);
    let mut near = points.iter().filter(|point| point.second.saturating_add(point.length) > first).peekable();
    (first..=second)
        .map(|second| {
            while near.peek().is_some_and(|point| point.second.saturating_add(point.length) <= second) {
                near.next();
            }
            near.peek().filter(|point| holds(point, second))?.values.first().copied()?
        })
        .collect()
}

fn row(cgroup: &str, then: &Point<FIGURES>, now: Option<&ContainerRow>) -> ContainerRow {
    let of = |figure: Figure| then.values.get(figure as usize).copied().flatten();
    let owner = now.and_then(|row| row.limit.as_ref()).map_or(cgroup, |limit| &limit.owner).to_owned();
    ContainerRow {
        cgroup: cgroup.to_owned(),
        processes: 0,
        usage_bytes: of(Figure::Usage),
        limit: of(Figure::Limit).map(|bytes| Limit { bytes, owner }),
        rss_bytes: Bytes::default(),
        arenas: Arc::default(),
        name: now.and_then(|row| row.name.clone()),
        member_kills: now.map_or(0, |row| row.member_kills),
        cgroup_id: None,
        is_group: now.is_some_and(|row| row.is_group),
        charge_age_seconds: None,
        charge: Some(Charge {
            usage_bytes: of(Figure::Usage),
            anon_bytes: of(Figure::Anon),
            // All page cache: history does not distinguish active and inactive.
            active_file_bytes: of(Figure::File),
            shmem_bytes: of(Figure::Shmem),
            kernel_bytes: of(Figure::Kernel),
            ..Charge::default()
        }),
        peak: None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Figure, Shared, Snapshot, Timestamp, update};
    use crate::snapshot::Node;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn then_is_what_was_read_then() {
        let history = Shared::default();
        for second in 100..400_u64 {
            let mut figures = [None; 6];
            figures[Figure::Usage as usize] = Some(Bytes(second * 4096));
            figures[Figure::Limit as usize] = Some(Bytes(1 << 30));
            history.history().read("/a", Some(1), figures, second * SECOND);
        }
        let latest = Snapshot {
            schema: 1,
            time: Timestamp::UNIX_EPOCH,
            tracer: None,
            processes: Vec::new(),
            containers: Vec::new(),
            node: Node::default(),
        };
        let then = update(&history, &latest, Timestamp::UNIX_EPOCH, 250).unwrap();
        let row = &then.snapshot.containers[0];
        // Points older than two minutes are peaks of ten seconds.
        let peak = |second: u64| Some(Bytes((second / 10 * 10 + 9) * 4096));
        assert_eq!(row.usage_bytes, peak(250));
        assert_eq!(row.limit.as_ref().unwrap().bytes, Bytes(1 << 30));
        let trend = &then.insights["/a"].trend_bytes;
        assert_eq!((trend.len(), trend[0], trend[119]), (120, peak(131), row.usage_bytes));
        assert!(update(&history, &latest, Timestamp::UNIX_EPOCH, 50).is_none(), "before anything was read");
        assert!(update(&history, &latest, Timestamp::UNIX_EPOCH, 500).is_none(), "after that");
    }
}
