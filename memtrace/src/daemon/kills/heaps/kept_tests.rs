use super::*;
use crate::{
    allocator::objects::{Others, Row},
    oom::cause::fixture,
    units::Bytes,
};

const SECOND: u64 = 1_000_000_000;

fn row(name: &str, bytes: u64) -> Row {
    Row { name: name.to_owned(), bytes: Bytes(bytes), count: bytes / 16, ..Row::default() }
}

fn heap(rows: Vec<Row>) -> Objects {
    let heap_bytes = Bytes(rows.iter().map(|row| row.bytes.0).sum());
    Objects { rows, heap_bytes, ..Objects::empty("cpython") }
}

fn record(pid: u32, killed: u64) -> OomRecord {
    let mut record = fixture::record(100);
    (record.victim.task, record.ktime_ns) = (fixture::task(pid, "app", "/pod/app"), killed);
    record
}

fn look(pid: u32, began: u64, census: Result<Vec<Objects>, NotRead>) -> Look {
    let task = fixture::task(pid, "app", "/pod/app");
    let census = census.map(|heaps| Census { at: 7, heaps, absent: Vec::new() });
    let (started, cgroup) = (task.started.unwrap(), task.cgroup.unwrap());
    Look { pid, started, comm: "app".to_owned(), cgroup, began, ended: began + SECOND / 10, census }
}

#[test]
fn a_record_has_the_last_look_and_the_growth_since_the_one_before() {
    let mut kept = Kept::default();
    kept.put(look(5, SECOND, Ok(vec![heap(vec![row("a", 100)])])));
    let first = kept.of(&record(5, 2 * SECOND));
    assert_eq!((first[0].before_age_seconds, first[0].heaps[0].rows[0].growth), (None, None));
    kept.put(look(5, 11 * SECOND, Ok(vec![heap(vec![row("b", 900), row("a", 100)])])));
    let told = kept.of(&record(5, 12 * SECOND));
    let [ObjectsBefore { pid: 5, is_victim: true, age_seconds, before_age_seconds, heaps, absent, .. }] =
        &told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!((*age_seconds, *before_age_seconds, absent.len()), (1.0, Some(11.0), 0));
    let growth: Vec<i64> = heaps[0].rows.iter().map(|row| row.growth.unwrap().bytes).collect();
    assert_eq!(growth, [900, 0]);
}

#[test]
fn a_look_that_had_not_ended_at_the_kill_is_not_told() {
    let mut kept = Kept::default();
    kept.put(look(5, SECOND, Ok(vec![heap(vec![row("a", 100)])])));
    kept.put(look(5, 2 * SECOND, Ok(vec![heap(vec![row("a", 300)])])));
    kept.put(look(5, 3 * SECOND, Ok(vec![heap(vec![row("a", 1)])])));
    let told = kept.of(&record(5, 3 * SECOND + 1));
    assert_eq!(told[0].heaps[0].rows[0].growth.unwrap().bytes, 200);
    assert_eq!(kept.of(&record(5, SECOND)), [], "it saw nothing before that");
}

#[test]
fn why_the_last_look_failed_is_told_beside_the_one_before() {
    let mut kept = Kept::default();
    kept.put(look(5, SECOND, Ok(vec![heap(vec![row("a", 100)])])));
    kept.put(look(5, 9 * SECOND, Err(NotRead::Quarantined)));
    let told = &kept.of(&record(5, 10 * SECOND))[0];
    assert_eq!((told.age_seconds, told.heaps.len()), (9.0, 1));
    assert!(told.absent[0].reason.contains("is not read again"), "{:?}", told.absent);
    kept.put(look(6, SECOND, Ok(Vec::new())));
    assert!(!kept.processes.contains_key(&6), "it has no runtime, and nothing to tell");
}

#[test]
fn another_process_with_the_pid_tells_nothing_and_one_under_the_same_limit_does() {
    let mut kept = Kept::default();
    kept.put(look(5, SECOND, Ok(vec![heap(vec![row("a", 100)])])));
    let mut of_other = record(5, 2 * SECOND);
    of_other.victim.task.started = Some("2026-01-01T00:00:09Z".parse().unwrap());
    of_other.limit_owner = None;
    assert_eq!(kept.of(&of_other), []);
    kept.put(look(6, SECOND, Ok(vec![heap(vec![row("b", 5_000)])])));
    let told = kept.of(&record(5, 2 * SECOND));
    let who: Vec<_> = told.iter().map(|told| (told.pid, told.is_victim)).collect();
    assert_eq!(who, [(5, true), (6, false)], "the victim first");
}

/// The bound that the docs give.
#[test]
fn a_record_with_any_objects_is_at_most_20_kib_larger() {
    let mut kept = Kept::default();
    let name = |at: usize| format!("{at:03}{}", "\\u{202e}".repeat(250));
    let most = |count: u64| Row {
        held_bytes: Bytes(u64::MAX),
        error_bytes: Bytes(u64::MAX),
        error_count: u64::MAX,
        count,
        ..row("", u64::MAX)
    };
    let full = |count| Objects {
        rows: (0..100).map(|at| Row { name: name(at), ..most(count) }).collect(),
        others: Others { types: u64::MAX, bytes: Bytes(u64::MAX), count: u64::MAX },
        missing: (0..16).map(name).collect(),
        ..heap(Vec::new())
    };
    for (pid, began) in (1..100_u32).flat_map(|pid| (1..5).map(move |began| (pid, began * SECOND))) {
        let count = if began.is_multiple_of(2) { 0 } else { u64::MAX };
        kept.put(look(pid, began, Ok(vec![full(count); 5])));
        kept.put(look(pid, began, Err(NotRead::Died("x".repeat(2_000)))));
    }
    assert_eq!(kept.processes.len(), MOST);
    let plain = record(99, 9 * SECOND);
    let mut with = plain.clone();
    with.circumstances.objects = kept.of(&plain);
    let told = &with.circumstances.objects;
    assert_eq!(told.iter().map(|told| told.heaps.len()).sum::<usize>(), HEAPS);
    let bytes = |record: &OomRecord| serde_json::to_vec(record).unwrap().len();
    let more = bytes(&with) - bytes(&plain);
    assert!((8 << 10..20 << 10).contains(&more), "{more} bytes");
}
