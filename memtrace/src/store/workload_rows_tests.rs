//! Rows of workloads on a real file system: parts, bounds, clocks, sizes.

use std::{fs, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::{A_DAY, DAYS, Now, Row, Store, Workload};
use crate::{
    history::lasting::{ArenaUse, Kinds, slot_of},
    sizing::tests::node,
    store::{FILE, Retention, fixture::record},
    units::Bytes,
};

const MIB: u64 = 1 << 20;
/// The most workloads.
const ALL: u32 = u32::MAX;
const BEGIN: i64 = 1_780_000_200;

fn now(days: i64) -> Now {
    let wall = Timestamp::from_second(BEGIN + days * 86_400).unwrap();
    Now { wall, since_boot: days as u64 * 86_400_000_000_000, boot_id: "boot".into() }
}

fn first_slot() -> u32 {
    slot_of(BEGIN)
}

fn workload(number: u32) -> Arc<Workload> {
    Arc::new(Workload {
        namespace: "shop".into(),
        owner: format!("service-{number}"),
        container: "main".into(),
        image: format!("registry.example/shop/service-{number}@sha256:{number:064x}"),
        ..Workload::default()
    })
}

/// A row as services have them: figures of 100 MiB to 4 GiB that differ from row to row, and two allocators.
fn row(slot: u32, number: u32) -> Row {
    let random = u64::from(slot).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let base = 100 * MIB + u64::from(number) * 128 * MIB;
    let some = |part: u64| Some(Bytes(base / 100 * part + random));
    Row {
        slot,
        readings: 300,
        aged: 30,
        high: some(100),
        crest: some(101),
        median: some(95),
        low: some(90),
        start: None,
        rise: Some(Bytes(random)),
        second_rise: Some(Bytes(random / 2)),
        kinds: Kinds {
            anon: some(80),
            shmem: some(5),
            kernel: some(10),
            active_file: some(20),
            file: some(60),
        },
        calm_cache: None,
        pressed_cache: None,
        scraped: some(110),
        limit: Some(Bytes(base * 2)),
        hits: 0,
        starts: 0,
        restarts: 0,
        kills: 0,
        arenas: ["glibc", "jemalloc"]
            .map(|name| ArenaUse { allocator: name.into(), used: some(60), free: some(10), setting: None })
            .into(),
    }
}

fn read(store: &Store, since: u32) -> Vec<(String, Row)> {
    let mut rows = Vec::new();
    let damaged =
        store.each_row(since, ALL, |_| true, |workload, row| rows.push((workload.label(), row))).unwrap();
    assert_eq!(damaged, 0);
    rows
}

#[test]
fn rows_come_back_in_the_order_of_time_and_parts_are_added() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let slot = first_slot();
    let part = |readings, high: u64| Row { slot, readings, high: Some(Bytes(high * MIB)), ..Row::default() };
    store.insert_rows(&[(workload(1), row(slot + 1, 1)), (workload(2), part(100, 7))]).unwrap();
    store.insert_rows(&[(workload(2), part(50, 9))]).unwrap();
    drop(store);
    let store = Store::open_read_only(dir.path()).unwrap();
    let rows = read(&store, 0);
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0], ("shop/service-2/main".to_owned(), part(150, 9)));
    assert_eq!(rows[1].1.slot, slot + 1);
    assert_eq!(read(&store, slot + 1).len(), 1);
    let mut wanted = 0;
    store.each_row(0, ALL, |workload| workload.owner == "service-1", |_, _| wanted += 1).unwrap();
    assert_eq!(wanted, 1);
    let mut last = Vec::new();
    store.each_row(0, 1, |_| true, |workload, _| last.push(workload.label())).unwrap();
    assert_eq!(last, ["shop/service-1/main"], "the one that was seen last");
}

#[test]
fn an_older_store_has_none_until_the_daemon_migrates_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let older = "DROP TABLE workloads; DROP TABLE workload_rows; DROP TABLE workload_rows_size; \
                 PRAGMA user_version = 7";
    store.connection.execute_batch(older).unwrap();
    drop(store);
    assert_eq!(read(&Store::open_read_only(dir.path()).unwrap(), 0), []);
    let mut store = Store::open(dir.path()).unwrap();
    store.insert_rows(&[(workload(1), row(first_slot(), 1))]).unwrap();
    assert_eq!(read(&store, 0).len(), 1);
}

#[test]
fn old_rows_go_and_a_clock_that_jumps_deletes_none() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    store.tick(&now(0)).unwrap();
    let rows: Vec<_> = (0..40).map(|day| (workload(day % 2), row(first_slot() + day * A_DAY, 1))).collect();
    store.insert_rows(&rows).unwrap();
    // Ahead by thirty years for an hour.
    let ahead = Now { wall: now(0).wall + SignedDuration::from_hours(30 * 365 * 24), ..now(0) };
    store.tick(&ahead).unwrap();
    assert_eq!(store.keep_rows(&ahead).unwrap(), 0);
    assert_eq!(read(&store, 0).len(), 40);
    for day in 1..=40 {
        store.tick(&now(day)).unwrap();
    }
    let deleted = store.keep_rows(&now(40)).unwrap();
    assert_eq!(deleted, u64::from(40 - DAYS), "days before the last {DAYS}");
    assert_eq!(store.rows_used().unwrap(), {
        let rows = read(&store, 0);
        rows.iter().map(|(_, row)| row.packed().unwrap().len() as u64 + super::BESIDE).sum::<u64>()
    });
}

#[test]
fn the_oldest_go_when_there_is_no_room_and_kills_stay() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let kills: Vec<_> = (0..50).map(record).collect();
    store.insert_kills(&kills).unwrap();
    let alone = store.used().unwrap();
    let rows: Vec<_> = (0..10)
        .flat_map(|day| (0..200).map(move |n| (workload(n), row(first_slot() + day * A_DAY, n))))
        .collect();
    store.insert_rows(&rows).unwrap();
    let all = store.rows_used().unwrap();
    store.tick(&now(10)).unwrap();
    assert!(store.keep_rows_within(&now(10), all / 2).unwrap() >= 1000);
    assert!(store.rows_used().unwrap() <= all / 2);
    assert!(read(&store, 0).iter().all(|(_, row)| row.slot >= first_slot() + 5 * A_DAY), "the newest stay");
    // Rows are not charged to the kills.
    let room = Retention { age: None, bytes: alone + 256 * 1024 };
    assert_eq!(store.keep(room, &now(10)).unwrap(), 0);
}

/// The size that docs/sizing.md and ADR 9 promise.
#[test]
fn thirty_five_days_of_thirty_containers_take_less_than_60_mb() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    node::each_day(&node::node(30), first_slot(), |rows| store.insert_rows(rows).unwrap());
    store.tick(&now(0)).unwrap();
    for day in 1..=i64::from(DAYS) {
        store.tick(&now(day)).unwrap();
    }
    assert_eq!(store.keep_rows(&now(i64::from(DAYS))).unwrap(), 0, "the bound has room for it");
    let told = store.rows_used().unwrap();
    drop(store);
    let bytes = fs::metadata(dir.path().join(FILE)).unwrap().len();
    assert!(bytes <= 60_000_000, "{bytes}");
    assert!(told.abs_diff(bytes) < bytes / 10, "told {told} of {bytes}");
    let mut rows = 0;
    let store = Store::open_read_only(dir.path()).unwrap();
    store.each_row(0, ALL, |_| true, |_, _| rows += 1).unwrap();
    assert_eq!(rows, DAYS * A_DAY * 30);
}
