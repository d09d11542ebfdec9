//! The verdict task: follows the published snapshots, keeps their history, and derives findings from it.
//!
//! Input: snapshots, kills. Output: an `Arc<Insights>` for whoever watches, and the history for the recorder. Reads the
//! charge of cgroups that have a limit but no processes of their own, which no snapshot shows.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use tokio::sync::watch;

use super::advice::{Advised, Sizes};
use crate::{
    allocator::counters::Counters,
    cgroup::{charge::Charge, hierarchy::Hierarchy, memcg},
    clock,
    container::{workload::Workload, workload_labels::WorkloadLabels},
    health::Beat,
    history::{self, FIGURES, Figure, Figures, lasting::Dropped, series::Point, shared::Shared},
    snapshot::{ContainerRow, ProcessRow, Snapshot},
    text::unescape,
    units::Bytes,
    verdict::{
        self, Finding, Insight, Insights, Picture, ceiling, growth, shape::Shape, thrash::ReadAgain, trend,
    },
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
    advised: watch::Receiver<Arc<Advised>>,
    beat: Beat,
) -> watch::Receiver<Arc<Insights>> {
    let (sender, receiver) = watch::channel(Arc::default());
    let (mut judged, mut told) = (Judged::default(), 0);
    tokio::spawn(async move {
        while snapshots.changed().await.is_ok() {
            beat.beat();
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            let now = clock::ktime();
            // Read before the lock is taken: the recorder and the API wait for it.
            let owners = owners(&snapshot, hierarchy.as_ref());
            let mut history = shared.history();
            history.take(&snapshot, now);
            for (path, figures) in owners {
                history.read(&path, None, figures, now);
            }
            drop(history);
            shared.fold(&snapshot, now);
            let Dropped { readings, rows } = shared.dropped();
            // On a node with too many workloads it grows each second.
            if readings + rows > told * 2 {
                tracing::warn!(readings, rows, "no room for the history of more workloads");
                told = readings + rows;
            }
            let sizes = Arc::clone(&advised.borrow());
            let insights = insights(&snapshot, (&shared, &sizes), &mut judged, now);
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

/// The verdict on each container.
type Judged = HashMap<String, Verdict>;

/// What was found at the last evaluation.
#[derive(Clone, Debug, Default)]
struct Verdict {
    /// When, ns since boot.
    made: u64,
    findings: Vec<Finding>,
    /// When the process that holds most of the memory started, seconds since boot.
    started: Option<f64>,
    /// Whether it grows inside a part that has a bound below the limit.
    is_bounded: bool,
    /// Pages of files that had been read again by then, and when they were counted, ns since boot.
    refaults: Option<(u64, u64)>,
    /// What the history of its workload gives.
    sizes: Option<Sizes>,
}

/// The processes of a container.
#[derive(Default)]
struct Members<'a> {
    counters: Vec<Counters>,
    largest: Option<&'a ProcessRow>,
    /// Age of the oldest, seconds.
    age: Option<f64>,
}

/// Insights from history for each row of the snapshot.
fn insights(
    snapshot: &Snapshot,
    (shared, advised): (&Shared, &Advised),
    judged: &mut Judged,
    now: u64,
) -> Insights {
    let is_due = |judged: &Judged, row: &ContainerRow| {
        judged.get(&row.cgroup).is_none_or(|verdict| verdict.made.saturating_add(JUDGED_FOR) <= now)
    };
    let is_any_due = snapshot.containers.iter().any(|row| is_due(judged, row));
    let members = if is_any_due { members(snapshot) } else { HashMap::new() };
    let nobody = Members::default();
    let mut insight = |row: &ContainerRow| {
        let is_due = is_due(judged, row);
        let (recent, all, trend_bytes) = {
            let history = shared.history();
            let series = history.container(&row.cgroup)?;
            let all = is_due.then(|| series.points());
            (series.recent(TREND), all, series.last(TREND, now, Figure::Usage as usize))
        };
        let verdict = judged.entry(row.cgroup.clone()).or_default();
        if let Some(points) = all {
            let members = members.get(row.cgroup.as_str()).unwrap_or(&nobody);
            *verdict = judge((snapshot, row), &points, members, verdict.refaults, now);
            verdict.sizes = Workload::of(row.name.as_deref(), &row.cgroup)
                .and_then(|workload| advised.get(&workload.label()).copied());
        }
        let samples = trend::samples(&recent, history::low);
        let (growth, grew) = growth::now(trend::since_restart(&samples, verdict.started));
        let room = row
            .limit
            .as_ref()
            .and_then(|limit| Some(limit.bytes.0.saturating_sub(row.firm().or(row.usage_bytes)?.0)));
        Some(Insight {
            trend_bytes,
            growth_bytes_per_second: growth,
            seconds_to_limit: growth
                .filter(|growth| *growth >= SLOWEST && !verdict.is_bounded)
                .zip(room)
                .map(|(growth, room)| room as f64 / growth),
            grew,
            kills: shared.kills(&WorkloadLabels::of(row.name.as_deref(), Some(&row.cgroup))),
            findings: verdict.findings.clone(),
            advised_request_bytes: verdict.sizes.map(|sizes| sizes.request),
            advised_limit_bytes: verdict.sizes.map(|sizes| sizes.limit),
        })
    };
    let insights: Insights =
        snapshot.containers.iter().filter_map(|row| Some((row.cgroup.clone(), insight(row)?))).collect();
    judged.retain(|cgroup, _| insights.contains_key(cgroup));
    insights
}

/// The processes of each cgroup.
fn members(snapshot: &Snapshot) -> HashMap<&str, Members<'_>> {
    let mut all: HashMap<&str, Members<'_>> = HashMap::new();
    for process in snapshot.rows() {
        let Some(cgroup) = &process.cgroup else { continue };
        let members = all.entry(cgroup).or_default();
        members.counters.extend(process.memory.iter().flat_map(|memory| memory.counters.iter().cloned()));
        // The processes are sorted, largest first.
        members.largest.get_or_insert(process);
        let age = snapshot.age(process.started);
        members.age = members.age.into_iter().chain(age).max_by(f64::total_cmp);
    }
    all
}

/// Pages of files that it has read again, and when they were counted.
fn refaults(row: &ContainerRow, now: u64) -> Option<(u64, u64)> {
    let age = row.charge_age_seconds.unwrap_or_default().max(0.0);
    Some((row.charge.as_ref()?.file_refaults?, now.saturating_sub((age * 1e9) as u64)))
}

fn judge(
    (snapshot, row): (&Snapshot, &ContainerRow),
    points: &[Point<FIGURES>],
    members: &Members<'_>,
    before: Option<(u64, u64)>,
    now: u64,
) -> Verdict {
    let counters = &members.counters;
    let started = members.largest.and_then(|largest| snapshot.age(largest.started));
    let started = started.map(|age| now as f64 / 1e9 - age);
    let samples = trend::samples(points, |point| point.values.get(Figure::Anon as usize).copied().flatten());
    let shape = Shape::of(&trend::samples(points, history::low), started);
    let firm = |point: &Point<FIGURES>| {
        let of = |figure: Figure| point.values.get(figure as usize).copied().flatten();
        let (Bytes(shmem), Bytes(kernel)) = (of(Figure::Shmem)?, of(Figure::Kernel).unwrap_or_default());
        Some(Bytes(of(Figure::Anon)?.0.saturating_add(shmem).saturating_add(kernel)))
    };
    let limit = row.limit.as_ref().map(|limit| limit.bytes);
    let refaults = refaults(row, now);
    let cache = row.charge.as_ref().and_then(Charge::file);
    let read_again = before.zip(refaults).zip(cache);
    let read_again = read_again.and_then(|((before, now), cache)| ReadAgain::between(before, now, cache));
    let findings = verdict::findings(&Picture {
        samples: &samples,
        shape: shape.as_ref().map_err(Clone::clone),
        age: members.age,
        firm: row.firm(),
        firm_peak: points.iter().filter_map(firm).max(),
        limit,
        read_again,
        arenas: &row.arenas,
        counters,
    });
    // A runtime whose bound is above the limit may reach the limit.
    let fits = limit
        .zip(row.firm())
        .is_some_and(|(limit, firm)| ceiling::above(counters, &row.arenas, limit, firm).is_none());
    let is_bounded = fits && ceiling::grows_within(counters, &row.arenas, limit);
    Verdict { made: now, findings, started, is_bounded, refaults, sizes: None }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{
        Advised, Arc, Bytes, Counters, Judged, ProcessRow, Shared, Sizes, Snapshot, WorkloadLabels, insights,
    };
    use crate::{
        allocator::counters::Setting,
        cgroup::{charge::Charge, memcg::Limit},
        snapshot::{ArenaRow, ContainerRow, Memory, Node},
        units::Grade,
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
        let insight = &insights(
            &snapshot(500 * MIB),
            (&shared, &Advised::default()),
            &mut Judged::default(),
            now,
        )["/a"];
        assert_eq!(insight.growth_bytes_per_second, Some((5 * MIB) as f64));
        assert_eq!(insight.seconds_to_limit, Some(100.0));
        assert_eq!(insight.kills, 3);
        assert!(insight.findings.iter().any(|finding| finding.kind == Kind::Leak), "{insight:?}");
        assert_eq!(insight.trend_bytes.last().unwrap(), &Some(Bytes(500 * MIB)));
        assert_eq!(insight.trend_bytes.iter().flatten().count(), 100);
    }

    /// The same container, whose growth is that of a Java heap with this maximum.
    fn with_heap(usage: u64, most: u64) -> Snapshot {
        let mut snapshot = snapshot(usage);
        snapshot.containers[0].charge = Some(Charge {
            active_file_bytes: Some(Bytes(0)),
            inactive_file_bytes: Some(Bytes(0)),
            usage_bytes: Some(Bytes(usage)),
            ..Charge::default()
        });
        snapshot.containers[0].arenas = Arc::new([ArenaRow {
            allocator: "jvm".into(),
            kind: "java heap".into(),
            arenas: 1,
            mapped_bytes: Bytes(most),
            resident_bytes: Bytes(usage),
            lazy_free_bytes: Bytes(0),
            swapped_bytes: Bytes(0),
            pss_bytes: None,
            grade: Grade::Measured,
            growth_bytes: [Some(5 << 20), Some(300 << 20), None],
        }]);
        let setting = Setting { name: "MaxHeapSize".to_owned(), value: most.to_string() };
        let counters =
            Counters { allocator: "jvm".to_owned(), settings: vec![setting], ..Counters::default() };
        snapshot.processes.push(Arc::new(ProcessRow {
            pid: 1,
            comm: "java".into(),
            uid: None,
            started: None,
            cgroup: Some("/a".into()),
            rss_bytes: Some(Bytes(usage)),
            rss_grade: Grade::Read,
            rss_read: None,
            growth_bytes_per_second: None,
            growth_window_seconds: None,
            limit: None,
            memory: Some(Memory { counters: vec![counters], ..Memory::default() }),
            peak: None,
            not_read: None,
            totals_only: None,
        }));
        snapshot
    }

    #[test]
    fn a_heap_on_the_way_to_its_maximum_has_no_time_to_the_limit_unless_that_is_above_it() {
        for (most, is_known) in [(900 * MIB, false), (2000 * MIB, true)] {
            let shared = Shared::default();
            for second in 1..=100_u64 {
                shared.history().take(&with_heap(second * 5 * MIB, most), second * 1_000_000_000);
            }
            let last = with_heap(500 * MIB, most);
            let insight = &insights(
                &last,
                (&shared, &Advised::default()),
                &mut Judged::default(),
                100_500_000_000,
            )["/a"];
            assert_eq!(insight.growth_bytes_per_second, Some((5 * MIB) as f64));
            assert_eq!(insight.seconds_to_limit.is_some(), is_known, "{most}");
            let found = |kind| insight.findings.iter().any(|finding| finding.kind == kind);
            assert_eq!((found(Kind::Leak), found(Kind::Ceiling)), (false, is_known), "{insight:?}");
        }
    }

    #[test]
    fn advised_sizes_are_those_of_the_workload() {
        let shared = Shared::default();
        shared.history().take(&snapshot(MIB), 1_000_000_000);
        let sizes = Sizes { request: Bytes(MIB), limit: Bytes(2 * MIB) };
        let advised = Advised::from([("/a".to_owned(), sizes), ("/b".to_owned(), sizes)]);
        let now = 1_000_000_000;
        let insight = &insights(&snapshot(MIB), (&shared, &advised), &mut Judged::default(), now)["/a"];
        assert_eq!(insight.advised_limit_bytes, Some(Bytes(2 * MIB)));
        assert_eq!(insight.advised_request_bytes, Some(Bytes(MIB)));
    }

    #[test]
    fn one_reading_is_no_trend() {
        let shared = Shared::default();
        shared.history().take(&snapshot(MIB), 1_000_000_000);
        let insight =
            &insights(&snapshot(MIB), (&shared, &Advised::default()), &mut Judged::default(), 1_000_000_000)
                ["/a"];
        assert_eq!((insight.growth_bytes_per_second, insight.seconds_to_limit), (None, None));
    }
}
