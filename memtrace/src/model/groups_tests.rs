//! Groups whose processes start, change and end.

use super::*;
use crate::{
    snapshot::{ArenaRow, Memory, Peak},
    units::Grade,
};

const SECOND: u64 = 1_000_000_000;

fn row(pid: u32, bytes: u64) -> ProcessRow {
    let arena = ArenaRow {
        allocator: "glibc".into(),
        kind: "arena".into(),
        arenas: 1,
        mapped_bytes: Bytes(bytes),
        resident_bytes: Bytes(bytes),
        lazy_free_bytes: Bytes(0),
        swapped_bytes: Bytes(0),
        pss_bytes: None,
        grade: Grade::Read,
        growth_bytes: [Some(0); 3],
    };
    let part = PeakPart { allocator: "glibc".into(), kind: "arena".into(), bytes: Bytes(bytes) };
    ProcessRow {
        pid,
        comm: "x".to_owned(),
        uid: None,
        started: None,
        cgroup: None,
        rss_grade: Grade::Read,
        rss_read: None,
        growth_bytes_per_second: None,
        growth_window_seconds: None,
        limit: None,
        not_read: None,
        rss_bytes: Some(Bytes(bytes)),
        memory: Some(Memory { arenas: vec![arena], ..Memory::default() }),
        totals_only: None,
        peak: Some(Peak { bytes: Bytes(bytes), time: None, grade: Grade::Read, owners: [part].into() }),
    }
}

fn limit(bytes: u64) -> Option<Limit> {
    Some(Limit { bytes: Bytes(bytes), owner: "/a".into() })
}

#[test]
fn sums_follow_who_comes_changes_and_goes() {
    let mut groups = Groups::default();
    let a = groups.enter(None, Some(b"/a"), || limit(9)).unwrap();
    let b = groups.enter(None, Some(b"/b"), || None).unwrap();
    assert_eq!(
        groups.enter(Some(a), Some(b"/a"), || None),
        Some(a),
        "its row is new, and it is counted once"
    );
    let (mut one, two) = (row(1, 100), row(2, 30));
    groups.sum_up([(a, &one), (b, &two)].into_iter());
    let of = |groups: &Groups, number: usize| {
        let row = groups.get(number).unwrap().row();
        (row.processes, row.rss_bytes.0, row.arenas.first().map_or(0, |arena| arena.resident_bytes.0))
    };
    assert_eq!((of(&groups, a), of(&groups, b)), ((1, 100, 100), (1, 30, 30)));
    assert_eq!(groups.get(a).unwrap().row().limit, limit(9));

    groups.end_tick();
    // One moves over, another row of the first changes.
    assert!(!groups.set_limits(|path| limit(9).filter(|_| path == b"/a")));
    assert_eq!(groups.enter(Some(b), Some(b"/a"), || None), Some(a));
    one = row(1, 200);
    groups.enter(Some(a), Some(b"/a"), || None);
    groups.sum_up([(a, &one), (a, &two)].into_iter());
    assert_eq!(of(&groups, a), (2, 230, 230));
    assert_eq!(groups.get(a).unwrap().owners()[0].bytes, Bytes(230));
    assert!(groups.get(b).is_none() && groups.number(b"/b").is_none(), "nobody is in it any more");

    groups.end_tick();
    // Nothing happens: the sums are kept, and no row is read.
    groups.sum_up([(a, &row(1, 1)), (a, &row(2, 1))].into_iter());
    assert_eq!(of(&groups, a), (2, 230, 230));

    groups.end_tick();
    // A process ends before the next tick, and a new group gets the free number.
    groups.leave(Some(a));
    assert_eq!(groups.enter(None, Some(b"/c"), || None), Some(b));
    groups.sum_up([(a, &two), (b, &one)].into_iter());
    assert_eq!((of(&groups, a), of(&groups, b)), ((1, 30, 30), (1, 200, 200)));
}

#[test]
fn a_limit_that_changed_changes_the_group() {
    let mut groups = Groups::default();
    let a = groups.enter(None, Some(b"/a"), || limit(9)).unwrap();
    groups.sum_up([(a, &row(1, 1))].into_iter());
    groups.end_tick();
    assert!(!groups.set_limits(|_| limit(9)) && !groups.get(a).unwrap().is_changed);
    assert!(groups.set_limits(|_| limit(8)));
    assert!(groups.get(a).unwrap().is_changed);
    assert_eq!(groups.get(a).unwrap().row().limit, limit(8));
}

/// The kernel may reclaim the memory of idle processes, which only the group's charge shows.
#[test]
fn a_charge_that_moves_has_the_processes_read_but_not_at_each_tick() {
    let mut group = Group::new(b"/a", None);
    let mut is_restless = |mib: u64, second: u64| group.is_restless(Bytes(mib << 20), second * SECOND);
    assert!(!is_restless(500, 1));
    assert!(!is_restless(400, 10), "it was looked at nine seconds ago");
    assert!(is_restless(400, 11));
    assert!(!is_restless(300, 12));
    assert!(!is_restless(398, 40), "less than a hundredth");
    assert!(is_restless(300, 40));
}
