//! The store on a real file system: crashes, damage, other versions, concurrent readers.

use std::{
    fs,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use proptest::prelude::*;
use rusqlite::Connection;
use tempfile::TempDir;

use super::{
    FILE, Filter, Store, StoreError,
    fixture::{self, record},
};
use crate::oom::record::OomRecord;

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn ids(store: &Store, filter: &Filter) -> Vec<String> {
    store.list(filter).unwrap().into_iter().map(|kill| kill.id).collect()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_record_comes_back_as_it_was() {
    let dir = directory();
    let mut store = Store::open(dir.path()).unwrap();
    let cases = [record(0), fixture::self_trigger(), fixture::global(), fixture::thread_victim()];
    for (number, record) in cases.into_iter().enumerate() {
        let record = OomRecord { id: format!("{}-{number}", record.id), ..record };
        store.insert_kills(std::slice::from_ref(&record)).unwrap();
        assert_eq!(store.kill(&record.id).unwrap(), Some(record));
    }
}

#[test]
fn a_record_that_became_richer_is_written_anew() {
    let dir = directory();
    let mut store = Store::open(dir.path()).unwrap();
    let mut record = record(0);
    store.insert_kills(std::slice::from_ref(&record)).unwrap();
    record.circumstances.more_victims.push(record.victim.clone());
    store.update_kills([&record]).unwrap();
    assert_eq!(store.kill(&record.id).unwrap(), Some(record));
    assert_eq!(store.count().unwrap(), 1);
}

#[test]
fn the_same_kill_is_stored_once() {
    let dir = directory();
    let mut store = Store::open(dir.path()).unwrap();
    assert_eq!(store.insert_kills(&[record(0), record(1), record(0)]).unwrap(), 2);
    assert_eq!(store.insert_kills(&[record(1), record(2)]).unwrap(), 1);
    assert_eq!(store.count().unwrap(), 3);
}

#[test]
fn lists_newest_first_and_filters() {
    let dir = directory();
    let mut store = Store::open(dir.path()).unwrap();
    assert_eq!(store.last_kill().unwrap(), None);
    let mut other = fixture::self_trigger();
    other.id = "other".to_owned();
    other.time = record(9).time;
    other.victim.task.process_comm = Some("report_100%".to_owned());
    store.insert_kills(&[record(1), record(0), other, record(2)]).unwrap();
    assert_eq!(store.last_kill().unwrap().unwrap().id, "other");
    let all = Filter::default();
    assert_eq!(ids(&store, &all), ["other".to_owned(), record(2).id, record(1).id, record(0).id]);
    assert_eq!(ids(&store, &Filter { limit: Some(1), ..all.clone() }), ["other"]);
    let between = Filter { since: Some(record(1).time), until: Some(record(2).time), ..all.clone() };
    assert_eq!(ids(&store, &between), [record(1).id]);
    let of_pod =
        |text: &str| ids(&store, &Filter { cgroup: Some(text.to_owned()), ..Filter::default() }).len();
    assert_eq!((of_pod("pod6e0b4bb2"), of_pod("report.service"), of_pod("/nowhere")), (3, 1, 0));
    // Not a pattern: % and _ match themselves.
    let comm = |text: &str| ids(&store, &Filter { comm: Some(text.to_owned()), ..Filter::default() });
    assert_eq!(comm("_100%"), ["other"]);
    assert!(comm("redis%").is_empty());
}

#[test]
fn a_summary_has_the_facts_of_its_record() {
    let dir = directory();
    let mut store = Store::open(dir.path()).unwrap();
    let record = record(0);
    store.insert_kills(std::slice::from_ref(&record)).unwrap();
    let summary = store.list(&Filter::default()).unwrap().remove(0);
    assert_eq!(summary.time, record.time);
    assert_eq!(summary.scope, record.scope.kind);
    assert_eq!(summary.victim_pid, record.victim.task.pid);
    assert_eq!(summary.victim_comm, "redis-server");
    assert_eq!(summary.cgroup, record.victim.task.cgroup);
    assert_eq!(summary.limit_owner, record.limit_owner.unwrap().path);
}

#[test]
fn the_beginning_of_an_id_is_enough_when_it_fits_one() {
    let dir = directory();
    let mut store = Store::open(dir.path()).unwrap();
    let named = |id: &str| OomRecord { id: id.to_owned(), ..record(0) };
    store.insert_kills(&[named("ab"), named("abc"), named("abd"), named("x%")]).unwrap();
    assert_eq!(store.kill("abd").unwrap().unwrap().id, "abd");
    assert_eq!(store.kill("x").unwrap().unwrap().id, "x%");
    assert_eq!(store.kill("ab").unwrap().unwrap().id, "ab", "a whole id wins");
    assert_eq!(store.kill("%").unwrap(), None);
    assert_eq!(store.kill("").unwrap(), None);
    let error = store.kill("a").unwrap_err();
    let text = "failed to choose a record: several ids start with \"a\": ab, abc, abd";
    assert_eq!(error.to_string(), text);
    store.insert_kills(&(0..9).map(|n| named(&format!("many{n}"))).collect::<Vec<_>>()).unwrap();
    assert!(store.kill("many").unwrap_err().to_string().ends_with("many6, many7 and more"));
}

#[test]
fn a_newer_store_is_refused_and_stays_as_it_is() {
    let dir = directory();
    let path = dir.path().join(FILE);
    let newer = Connection::open(&path).unwrap();
    newer.execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE future (a); PRAGMA user_version=99").unwrap();
    // Its daemon was killed, so some records are only in the log.
    std::mem::forget(newer);
    let state = || -> Vec<Vec<u8>> {
        ["", "-wal"].map(|suffix| fs::read(format!("{}{suffix}", path.display())).unwrap()).into()
    };
    let before = state();
    for result in [Store::open(dir.path()), Store::open_read_only(dir.path())] {
        let error = result.unwrap_err();
        assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
        assert_eq!(state(), before);
    }
}

#[test]
fn a_damaged_store_is_set_aside_for_the_daemon_and_an_error_for_a_reader() {
    let dir = directory();
    fs::write(dir.path().join(FILE), "not a database, but certainly longer than nothing at all").unwrap();
    fs::write(dir.path().join("memtrace.db-wal"), "its log").unwrap();
    let error = Store::open_read_only(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    let mut store = Store::open(dir.path()).unwrap();
    let aside = store.set_aside().unwrap().to_owned();
    assert!(aside.to_str().unwrap().contains("memtrace.db.corrupt-"), "{}", aside.display());
    assert!(fs::read_to_string(&aside).unwrap().starts_with("not a database"));
    assert!(names(dir.path()).contains(&format!("{}-wal", aside.file_name().unwrap().display())));
    assert_eq!(store.insert_kills(&[record(0)]).unwrap(), 1);
    drop(store);
    assert_eq!(Store::open(dir.path()).unwrap().set_aside(), None);
}

#[test]
fn a_page_that_was_overwritten_is_found_at_the_start() {
    let dir = directory();
    let path = dir.path().join(FILE);
    let mut store = Store::open(dir.path()).unwrap();
    store.insert_kills(&(0..50).map(record).collect::<Vec<_>>()).unwrap();
    drop(store);
    let mut bytes = fs::read(&path).unwrap();
    for byte in bytes.iter_mut().skip(2 * 4096).step_by(7) {
        *byte = 0xa5;
    }
    fs::write(&path, bytes).unwrap();
    assert!(Store::open(dir.path()).unwrap().set_aside().is_some());
}

#[test]
fn a_reader_works_beside_a_writer_and_sees_its_commits() {
    let dir = directory();
    let mut writer = Store::open(dir.path()).unwrap();
    writer.insert_kills(&[record(0)]).unwrap();
    let reader = Store::open_read_only(dir.path()).unwrap();
    assert_eq!(reader.count().unwrap(), 1);
    writer.insert_kills(&[record(1)]).unwrap();
    assert_eq!(reader.count().unwrap(), 2);
}

#[test]
fn a_reader_cannot_write() {
    let dir = directory();
    drop(Store::open(dir.path()).unwrap());
    let error = Store::open_read_only(dir.path()).unwrap().insert_kills(&[record(0)]).unwrap_err();
    assert!(error.is_read_only(), "{error}");
}

/// After a daemon was killed, the kill is only in the log.
#[test]
fn kills_of_a_daemon_that_died_are_read_and_kept() {
    let dir = directory();
    let mut writer = Store::open(dir.path()).unwrap();
    writer.insert_kills(&[record(0)]).unwrap();
    std::mem::forget(writer);
    assert_eq!(Store::open_read_only(dir.path()).unwrap().last_kill().unwrap(), Some(record(0)));
    // After a power cut even the log's index is missing.
    let copy = directory();
    for suffix in ["", "-wal"] {
        let name = format!("{FILE}{suffix}");
        fs::copy(dir.path().join(&name), copy.path().join(&name)).unwrap();
    }
    assert_eq!(Store::open_read_only(copy.path()).unwrap().last_kill().unwrap(), Some(record(0)));
    let mut next = Store::open(copy.path()).unwrap();
    assert_eq!(next.insert_kills(&[record(0), record(1)]).unwrap(), 1);
}

/// SQLite follows no symlink to the log's index. This simulates a read-only file system, also for root, who runs the
/// tests.
fn forbid_log_index(dir: &Path) {
    std::os::unix::fs::symlink("/", dir.join(format!("{FILE}-shm"))).unwrap();
}

#[test]
fn a_store_that_was_closed_is_read_where_nothing_can_be_written() {
    let dir = directory();
    Store::open(dir.path()).unwrap().insert_kills(&[record(0)]).unwrap();
    assert_eq!(names(dir.path()), [FILE]);
    forbid_log_index(dir.path());
    assert_eq!(Store::open_read_only(dir.path()).unwrap().count().unwrap(), 1);
}

#[test]
fn a_log_that_cannot_be_read_is_an_error_and_not_fewer_kills() {
    let dir = directory();
    let mut writer = Store::open(dir.path()).unwrap();
    writer.insert_kills(&[record(0)]).unwrap();
    let copy = directory();
    for suffix in ["", "-wal"] {
        let name = format!("{FILE}{suffix}");
        fs::copy(dir.path().join(&name), copy.path().join(&name)).unwrap();
    }
    forbid_log_index(copy.path());
    let error = Store::open_read_only(copy.path()).unwrap_err();
    assert!(matches!(error, StoreError::LogUnreadable { .. }), "{error}");
}

#[test]
fn no_store_is_told_from_an_unusable_one() {
    let dir = directory();
    let missing: PathBuf = dir.path().join("nowhere");
    assert!(matches!(Store::open_read_only(&missing), Err(StoreError::Missing { .. })));
    assert!(matches!(Store::open(&missing), Err(StoreError::Io { .. })));
    // The daemon has created the file, but not the tables.
    fs::write(dir.path().join(FILE), "").unwrap();
    assert!(matches!(Store::open_read_only(dir.path()), Err(StoreError::Missing { .. })));
}

#[test]
fn a_full_disk_is_told_and_what_was_stored_stays() {
    let dir = directory();
    let mut store = Store::open(dir.path()).unwrap();
    store.insert_kills(&[record(0)]).unwrap();
    let pages: i64 = store.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    let _: i64 =
        store.connection.pragma_update_and_check(None, "max_page_count", pages, |row| row.get(0)).unwrap();
    let error = store.insert_kills(&(1..50).map(record).collect::<Vec<_>>()).unwrap_err();
    assert!(error.is_full(), "{error}");
    assert!(!error.is_read_only());
    assert_eq!(store.count().unwrap(), 1);
}

#[test]
fn times_outside_of_the_column_keep_their_order_and_the_record_its_time() {
    let dir = directory();
    let mut store = Store::open(dir.path()).unwrap();
    let far = |id: &str, time| OomRecord { id: id.to_owned(), time, ..record(0) };
    store.insert_kills(&[far("late", Timestamp::MAX), far("early", Timestamp::MIN), record(0)]).unwrap();
    assert_eq!(ids(&store, &Filter::default()), ["late".to_owned(), record(0).id, "early".to_owned()]);
    assert_eq!(store.kill("late").unwrap().unwrap().time, Timestamp::MAX);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_record_comes_back_as_it_was(record in fixture::arbitrary::record()) {
        let dir = directory();
        let mut store = Store::open(dir.path()).unwrap();
        store.insert_kills(std::slice::from_ref(&record)).unwrap();
        prop_assert_eq!(store.last_kill().unwrap(), Some(record.clone()));
        if !record.id.is_empty() {
            prop_assert_eq!(store.kill(&record.id).unwrap(), Some(record.clone()));
        }
        let summary = store.list(&Filter::default()).unwrap().remove(0);
        prop_assert_eq!(summary.id, record.id);
        prop_assert_eq!(summary.time, record.time);
        prop_assert_eq!(summary.cgroup, record.victim.task.cgroup);
    }
}

/// Records of version 1 are found by the columns of version 2.
#[test]
fn an_older_store_gets_the_newer_columns() {
    let dir = directory();
    let full = fixture::full::record();
    {
        let old = Connection::open(dir.path().join(FILE)).unwrap();
        old.execute_batch(
            "CREATE TABLE kills (id TEXT NOT NULL UNIQUE, time_ns INTEGER NOT NULL, boot_id TEXT NOT NULL,
             scope TEXT NOT NULL, victim_pid INTEGER, victim_comm TEXT NOT NULL, cgroup TEXT, limit_owner TEXT,
             record BLOB NOT NULL) STRICT;
             PRAGMA user_version=1;",
        )
        .unwrap();
        let json = serde_json::to_vec(&full).unwrap();
        old.execute(
            "INSERT INTO kills VALUES (?1, 5, 'b', 'memcg', 1, 'x', NULL, NULL, ?2)",
            rusqlite::params![full.id, json],
        )
        .unwrap();
    }
    let reader = Store::open_read_only(dir.path()).unwrap();
    assert_eq!(reader.list(&Filter::default()).unwrap()[0].cause, None, "readers do not migrate");
    drop(reader);
    let store = Store::open(dir.path()).unwrap();
    let summary = store.list(&Filter::default()).unwrap().remove(0);
    assert_eq!((summary.namespace.as_deref(), summary.container.as_deref()), (Some("shop"), Some("redis")));
    assert_eq!(summary.cause.as_deref(), Some("leak"));
}

#[test]
fn kills_are_found_by_their_names_and_their_cause() {
    let dir = directory();
    let mut store = Store::open(dir.path()).unwrap();
    let full = fixture::full::record();
    store.insert_kills(&[full.clone(), record(1)]).unwrap();
    let found = |change: fn(&mut Filter)| {
        let mut filter = Filter::default();
        change(&mut filter);
        ids(&store, &filter)
    };
    let only = [full.id.clone()];
    assert_eq!(found(|filter| filter.namespace = Some("shop".into())), only);
    assert_eq!(found(|filter| filter.pod = Some("cart-7d9c5b8f6-x2x4q".into())), only);
    assert_eq!(found(|filter| filter.container = Some("redis".into())), only);
    assert_eq!(found(|filter| filter.container = Some("3f9d0c".into())), only);
    assert_eq!(found(|filter| filter.cause = Some("leak".into())), only);
    assert!(found(|filter| filter.namespace = Some("sho".into())).is_empty());
    assert!(found(|filter| filter.cause = Some("burst".into())).is_empty());
}

#[test]
fn a_kill_that_was_seen_after_all_takes_the_place_of_the_logs() {
    let dir = directory();
    let mut store = Store::open(dir.path()).unwrap();
    store.insert_kills(&[record(0), record(1)]).unwrap();
    let seen = OomRecord { id: "seen".to_owned(), ..record(0) };
    store.replace_kill(&record(0).id, &seen).unwrap();
    assert_eq!((store.count().unwrap(), store.kill("seen").unwrap()), (2, Some(seen.clone())));
    // Also with the same id.
    store.replace_kill("seen", &OomRecord { ktime_ns: 1, ..seen }).unwrap();
    let mut count = 0;
    store.each_kill_of_boot(&record(0).boot_id, |_| count += 1).unwrap();
    assert_eq!((store.kill("seen").unwrap().unwrap().ktime_ns, count), (1, 2));
}

#[test]
fn members_kills_are_entered_once_and_counted_over_restarts() {
    let dir = directory();
    let mut store = Store::open(dir.path()).unwrap();
    let kill = |container: &str, n: u32| super::MemberKill {
        container: container.to_owned(),
        record: record(n).id,
        time: record(n).time,
        comm: "worker".to_owned(),
        name: crate::container::name::Name::default(),
    };
    assert_eq!(store.insert_member_kill(&kill("uid/a", 0)).unwrap(), 1);
    assert_eq!(store.insert_member_kill(&kill("uid/a", 0)).unwrap(), 1);
    assert_eq!(store.insert_member_kill(&kill("uid/b", 1)).unwrap(), 1);
    assert_eq!(store.insert_member_kill(&kill("uid/a", 2)).unwrap(), 2);
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.member_kills().unwrap(), [("uid/a".to_owned(), 2), ("uid/b".to_owned(), 1)]);
}

#[test]
fn what_the_runtime_says_later_is_added_and_nothing_else_is_changed() {
    let dir = directory();
    let mut store = Store::open(dir.path()).unwrap();
    let mut expected = record(0);
    store.insert_kills(&[expected.clone(), record(1)]).unwrap();
    store.add_runtime(&expected.id, Some("Error"), 137).unwrap();
    store.add_runtime("nowhere", Some("Error"), 1).unwrap();
    let found = store.kill(&expected.id).unwrap().unwrap();
    let outcome = found.circumstances.outcome.clone().unwrap();
    assert_eq!((outcome.runtime_reason.as_deref(), outcome.runtime_exit_code), (Some("Error"), Some(137)));
    assert!(outcome.disagreement.is_some());
    expected.circumstances.outcome = Some(outcome);
    assert_eq!(found, expected);
    assert_eq!(store.kill(&record(1).id).unwrap(), Some(record(1)));
    assert_eq!(store.count().unwrap(), 2);
}
