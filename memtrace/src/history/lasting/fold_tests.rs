//! The fold, fed with made-up snapshots.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    ArenaUse, Bytes, ContainerRow, Counters, Dropped, Fold, MOST_FINISHED, MOST_WORKLOADS, Row, Snapshot,
};
use crate::{
    cgroup::{charge::Charge, memcg::Limit},
    container::name::Name,
    history::lasting::SLOT,
    snapshot::{Memory, Node, ProcessRow},
    units::Grade,
};

const MIB: u64 = 1 << 20;
/// The start of a row.
const EPOCH: i64 = 1_780_000_200;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(EPOCH + second).unwrap()
}

fn container(pod: &str, firm: u64) -> ContainerRow {
    let name = Name {
        namespace: Some("shop".into()),
        pod: Some(pod.into()),
        container: Some("redis".into()),
        ..Name::default()
    };
    ContainerRow {
        processes: 1,
        usage_bytes: Some(Bytes(firm + 50 * MIB)),
        charge: Some(Charge {
            usage_bytes: Some(Bytes(firm + 50 * MIB)),
            anon_bytes: Some(Bytes(firm)),
            active_file_bytes: Some(Bytes(20 * MIB)),
            inactive_file_bytes: Some(Bytes(30 * MIB)),
            ..Charge::default()
        }),
        charge_age_seconds: Some(0.0),
        limit: Some(Limit { bytes: Bytes(1000 * MIB), owner: "/a".into() }),
        name: Some(Arc::new(name)),
        ..ContainerRow::empty(format!("/{pod}"))
    }
}

fn snapshot(second: i64, containers: Vec<ContainerRow>, started: i64) -> Arc<Snapshot> {
    let counters = Counters {
        allocator: "glibc".to_owned(),
        allocated_bytes: Some(Bytes(3 * MIB)),
        free_resident_bytes: Some(Bytes(MIB)),
        ..Counters::default()
    };
    let process = |(pid, row): (u32, &ContainerRow)| {
        Arc::new(ProcessRow {
            pid,
            comm: "redis".into(),
            uid: None,
            started: Some(at(started)),
            cgroup: Some(row.cgroup.clone()),
            rss_bytes: None,
            rss_grade: Grade::Read,
            rss_read: None,
            growth_bytes_per_second: None,
            growth_window_seconds: None,
            limit: None,
            memory: Some(Memory { counters: vec![counters.clone()], ..Memory::default() }),
            peak: None,
            not_read: None,
            totals_only: None,
        })
    };
    let processes = (1..).zip(&containers).map(process).collect();
    Arc::new(Snapshot {
        schema: 1,
        time: at(second),
        tracer: None,
        processes,
        containers,
        node: Node::default(),
    })
}

/// Folds seconds, of a container that started at `started`.
fn folded(seconds: std::ops::Range<i64>, started: i64, firm: impl Fn(i64) -> u64) -> (Fold, Vec<Row>) {
    let mut fold = Fold::default();
    for second in seconds {
        let row = container("cart-0", firm(second));
        fold.take(&snapshot(second, vec![row], started), second as u64 * 1_000_000_000);
    }
    let rows = fold.finished().into_iter().map(|(_, row)| row).collect();
    (fold, rows)
}

#[test]
fn five_minutes_become_a_row() {
    let firm = |second: i64| if second == 100 { 700 * MIB } else { (100 + second as u64 % 2) * MIB };
    let (_, rows) = folded(0..601, -1000, firm);
    assert_eq!(rows.len(), 2, "the third is in the making");
    let row = &rows[0];
    assert_eq!(u64::from(row.slot) * SLOT, EPOCH as u64);
    assert_eq!((row.readings, row.aged, row.starts), (300, 0, 0), "it ran already");
    assert_eq!((row.high, row.low), (Some(Bytes(700 * MIB)), Some(Bytes(100 * MIB))));
    assert!(row.median <= Some(Bytes(101 * MIB)) && row.median >= Some(Bytes(100 * MIB)));
    assert_eq!((row.rise, row.second_rise), (Some(Bytes(599 * MIB)), Some(Bytes(MIB))));
    assert_eq!((row.kinds.anon, row.kinds.active_file), (Some(Bytes(700 * MIB)), Some(Bytes(20 * MIB))));
    assert_eq!(
        (row.limit, row.scraped),
        (Some(Bytes(1000 * MIB)), Some(Bytes(120 * MIB))),
        "between scrapes"
    );
    assert_eq!(rows[1].high, Some(Bytes(101 * MIB)));
}

#[test]
fn a_start_is_apart() {
    let (_, rows) = folded(0..301, -5, |second| if second < 30 { 900 * MIB } else { 100 * MIB });
    let row = &rows[0];
    assert_eq!((row.start, row.high), (Some(Bytes(900 * MIB)), Some(Bytes(100 * MIB))));
    assert_eq!((row.starts, row.restarts), (1, 0));
}

#[test]
fn pods_of_one_owner_are_one_row_and_each_rises_by_itself() {
    let mut fold = Fold::default();
    for second in 0..301 {
        let rows = vec![container("cart-0", 100 * MIB), container("cart-1", 400 * MIB)];
        fold.take(&snapshot(second, rows, -1000), second as u64 * 1_000_000_000);
    }
    let finished = fold.finished();
    assert_eq!(finished.len(), 1);
    let (workload, row) = &finished[0];
    assert_eq!((workload.label().as_str(), row.readings), ("shop/cart/redis", 600));
    assert_eq!((row.high, row.low, row.rise), (Some(Bytes(400 * MIB)), Some(Bytes(100 * MIB)), None));
}

#[test]
fn what_ends_early_is_kept_and_what_nobody_takes_is_bounded() {
    let (mut fold, rows) = folded(0..100, -1000, |_| MIB);
    assert!(rows.is_empty());
    fold.flush();
    let part = fold.finished().remove(0).1;
    let arena = ArenaUse {
        allocator: "glibc".to_owned(),
        used: Some(Bytes(3 * MIB)),
        free: Some(Bytes(MIB)),
        setting: None,
    };
    assert_eq!((part.readings, part.arenas), (100, vec![arena]));
    fold.forget(1);
    assert!(!fold.has_finished());
    let mut second = 100;
    for _ in 0..=MOST_FINISHED {
        second += SLOT as i64;
        let row = container("cart-0", MIB);
        fold.take(&snapshot(second, vec![row], -1000), second as u64 * 1_000_000_000);
    }
    second += SLOT as i64;
    fold.take(&snapshot(second, Vec::new(), -1000), second as u64 * 1_000_000_000);
    assert_eq!((fold.finished().len(), fold.dropped()), (MOST_FINISHED, Dropped { readings: 0, rows: 1 }));
}

#[test]
fn workloads_without_room_are_counted() {
    let mut fold = Fold::default();
    let rows: Vec<_> = (0..MOST_WORKLOADS + 3)
        .map(|number| {
            let pod = format!("service-{number}");
            let name = Name { pod: None, container: Some(pod.clone()), ..Name::default() };
            ContainerRow { name: Some(Arc::new(name)), ..container(&pod, MIB) }
        })
        .collect();
    fold.take(&snapshot(0, rows.clone(), -1000), 0);
    fold.take(&snapshot(1, rows, -1000), 1_000_000_000);
    assert_eq!(fold.dropped(), Dropped { readings: 6, rows: 0 });
    fold.flush();
    assert_eq!(fold.finished().len(), MOST_WORKLOADS);
}

#[test]
fn another_group_under_the_same_path_is_a_restart() {
    let mut fold = Fold::default();
    for (second, id) in (0..301).map(|second| (second, if second < 100 { 1 } else { 2 })) {
        let row = ContainerRow { cgroup_id: Some(id), ..container("cart-0", MIB) };
        let started = if second < 100 { -1000 } else { 99 };
        fold.take(&snapshot(second, vec![row], started), second as u64 * 1_000_000_000);
    }
    let (_, row) = fold.finished().remove(0);
    assert_eq!((row.starts, row.restarts), (1, 1));
    assert!(row.start.is_some());
}
