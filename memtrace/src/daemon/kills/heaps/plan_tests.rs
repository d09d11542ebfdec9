use super::*;
use crate::{
    cgroup::memcg::Limit,
    snapshot::Node,
    units::{Bytes, Grade},
};

const MIB: u64 = 1 << 20;

fn process(pid: u32, cgroup: &str, resident: u64) -> ProcessRow {
    ProcessRow {
        pid,
        comm: format!("p{pid}"),
        uid: None,
        started: Some(Timestamp::from_second(i64::from(pid)).unwrap()),
        cgroup: Some(cgroup.to_owned()),
        rss_bytes: Some(Bytes(resident * MIB)),
        rss_grade: Grade::Read,
        rss_read: None,
        growth_bytes_per_second: None,
        growth_window_seconds: None,
        limit: None,
        memory: None,
        not_read: None,
        totals_only: None,
        peak: None,
    }
}

/// Groups with a limit of 100 MiB, of this usage.
fn snapshot(groups: &[(&str, u64)], processes: &[(u32, &str, u64)]) -> Snapshot {
    let row = |(cgroup, usage): &(&str, u64)| ContainerRow {
        usage_bytes: Some(Bytes(usage * MIB)),
        limit: Some(Limit { bytes: Bytes(100 * MIB), owner: (*cgroup).into() }),
        ..ContainerRow::empty((*cgroup).into())
    };
    Snapshot {
        schema: 1,
        time: Timestamp::UNIX_EPOCH,
        tracer: None,
        processes: processes
            .iter()
            .map(|(pid, cgroup, resident)| std::sync::Arc::new(process(*pid, cgroup, *resident)))
            .collect(),
        containers: groups.iter().map(row).collect(),
        node: Node::default(),
    }
}

fn next(plan: &Plan, snapshot: &Snapshot, now: Instant) -> Option<u32> {
    plan.next(snapshot, now).map(|target| target.pid)
}

/// Looks at what is next, which took so long.
fn look(plan: &mut Plan, snapshot: &Snapshot, now: Instant, took: Duration, has_any: bool) -> Option<u32> {
    let target = plan.next(snapshot, now)?;
    plan.looked(&target, has_any, took, now);
    Some(target.pid)
}

#[test]
fn the_largest_of_the_fullest_groups_are_looked_at() {
    let (mut plan, now) = (Plan::default(), Instant::now());
    let groups = [("/calm", 40), ("/half", 60), ("/full", 95)];
    let processes = [
        (1, "/calm", 40),
        (2, "/half", 55),
        (3, "/full/a", 50),
        (4, "/full", 30),
        (5, "/full", 10),
        (6, "/fuller", 90),
        (7, "/half", 3),
    ];
    let snapshot = snapshot(&groups, &processes);
    let mut looked = Vec::new();
    while let Some(pid) = look(&mut plan, &snapshot, now, Duration::from_millis(1), true) {
        looked.push(pid);
    }
    assert_eq!(looked, [3, 4, 2], "two of a group; 7 is too small");
}

#[test]
fn a_look_follows_growth_but_not_too_soon() {
    let (mut plan, begin) = (Plan::default(), Instant::now());
    let at = |resident| snapshot(&[("/g", resident)], &[(9, "/g", resident)]);
    let quick = Duration::from_millis(20);
    assert_eq!(look(&mut plan, &at(50), begin, quick, true), Some(9));
    let now = begin + SECOND;
    assert_eq!(next(&plan, &at(54), now), None, "it grew too little");
    assert_eq!(next(&plan, &at(55), now - Duration::from_millis(1)), None);
    assert_eq!(look(&mut plan, &at(55), now, quick, true), Some(9), "the second one comes early");
    assert_eq!(next(&plan, &at(99), now + AGAIN - Duration::from_millis(1)), None, "the others do not");
    let slow = Duration::from_millis(500);
    assert_eq!(look(&mut plan, &at(99), now + AGAIN, slow, true), Some(9));
    let now = now + AGAIN;
    assert_eq!(next(&plan, &at(60), now + AGAIN), None, "it is dear");
    assert_eq!(next(&plan, &at(60), now + slow * COST), Some(9), "to shrink is to move");
    assert_eq!(next(&plan, &at(99), now + slow * COST), None);
    assert_eq!(next(&plan, &at(99), now + STILL), Some(9));
}

#[test]
fn a_process_without_a_runtime_is_left_alone_and_another_one_with_its_pid_is_not() {
    let (mut plan, begin) = (Plan::default(), Instant::now());
    let at = |resident| snapshot(&[("/g", resident)], &[(9, "/g", resident)]);
    assert_eq!(look(&mut plan, &at(50), begin, Duration::from_millis(1), false), Some(9));
    assert_eq!(next(&plan, &at(90), begin + AGAIN), None);
    let mut other = process(9, "/g", 90);
    other.started = Some(Timestamp::from_second(500).unwrap());
    let other = Snapshot { processes: vec![std::sync::Arc::new(other)], ..at(90) };
    assert_eq!(next(&plan, &other, begin), Some(9));
}

#[test]
fn what_is_remembered_is_bounded() {
    let (mut plan, now) = (Plan::default(), Instant::now());
    for pid in 1..2 * REMEMBERED as u32 {
        let snapshot = snapshot(&[("/g", 90)], &[(pid, "/g", 90)]);
        look(&mut plan, &snapshot, now + Duration::from_millis(pid.into()), Duration::ZERO, true);
    }
    assert_eq!(plan.looked.len(), REMEMBERED);
}
