//! What may happen to the files of an open store. The clocks are passed in, so nothing waits.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use super::{Guard, Renewed};
use crate::store::{FILE, Filter, Now, Store, StoreError, fixture::record};

/// The state directory of a test, and its clock.
struct Place {
    _root: TempDir,
    dir: PathBuf,
    seconds: u64,
    /// Why the directory cannot be used.
    refused: Arc<Mutex<Option<String>>>,
}

impl Place {
    fn new() -> (Self, Guard) {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("state");
        fs::create_dir(&dir).unwrap();
        let place = Self { dir, _root: root, seconds: 1_000, refused: Arc::default() };
        let (dir, refused) = (place.dir.clone(), Arc::clone(&place.refused));
        let prepare = move || {
            if let Some(why) = refused.lock().unwrap().clone() {
                return Err(why);
            }
            fs::create_dir_all(&dir).map_err(|error| error.to_string())
        };
        let guard = Guard::open(&place.dir, Box::new(prepare), &place.now()).unwrap();
        (place, guard)
    }

    fn now(&self) -> Now {
        let wall = Timestamp::from_second(1_780_000_000).unwrap();
        let passed = SignedDuration::from_secs(i64::try_from(self.seconds).unwrap());
        Now {
            wall: wall.saturating_add(passed).unwrap(),
            since_boot: self.seconds * 1_000_000_000,
            boot_id: "boot".into(),
        }
    }

    fn file(&self, suffix: &str) -> PathBuf {
        self.dir.join(format!("{FILE}{suffix}"))
    }

    /// Half a minute later.
    fn look(&mut self, guard: &mut Guard) {
        self.seconds += 30;
        guard.look(&self.now());
    }

    fn store(&self, guard: &mut Guard, n: u32) -> Result<usize, StoreError> {
        guard.write(&self.now(), |store| store.insert_kills(&[record(n)]))
    }

    /// The kills that another process finds, oldest first.
    fn stored(&self) -> Vec<u32> {
        let store = Store::open_read_only(&self.dir).unwrap();
        let mut kills = store.list(&Filter::default()).unwrap();
        kills.reverse();
        kills.iter().map(|kill| kill.victim_pid.unwrap() - record(0).victim.task.pid.unwrap()).collect()
    }

    /// The only replacement.
    fn renewed(guard: &mut Guard) -> Renewed {
        let mut news = guard.news();
        assert_eq!(news.len(), 1, "{news:?}");
        news.remove(0)
    }
}

#[test]
fn a_store_that_nothing_happens_to_stays_as_it_is() {
    let (mut place, mut guard) = Place::new();
    for n in 0..20 {
        assert_eq!(place.store(&mut guard, n).unwrap(), 1);
        place.look(&mut guard);
    }
    assert_eq!((guard.news(), guard.problem()), (vec![], None));
    assert_eq!(place.stored(), (0..20).collect::<Vec<_>>());
}

#[test]
fn a_kill_is_written_to_a_new_store_if_the_old_one_was_deleted() {
    let (place, mut guard) = Place::new();
    place.store(&mut guard, 0).unwrap();
    fs::remove_file(place.file("")).unwrap();
    assert_eq!(place.store(&mut guard, 1).unwrap(), 1);
    assert_eq!(place.stored(), [1], "the new one does not get the log of the old one");
    let Renewed { reason, aside, kills, .. } = Place::renewed(&mut guard);
    assert!(reason.contains("deleted while it was open"), "{reason}");
    assert_eq!(kills, Some(0));
    let log = aside.unwrap().display().to_string();
    assert!(log.ends_with("memtrace.db.lost-1780001000"), "{log}");
    assert!(Path::new(&format!("{log}-wal")).exists());
    assert_eq!(guard.problem(), None);
}

#[test]
fn a_deletion_is_noticed_without_a_kill() {
    for is_all in [false, true] {
        let (mut place, mut guard) = Place::new();
        place.look(&mut guard);
        if is_all {
            fs::remove_dir_all(&place.dir).unwrap();
        } else {
            fs::remove_file(place.file("")).unwrap();
        }
        // Not before it is due.
        guard.look(&place.now());
        assert_eq!(guard.news(), []);
        place.look(&mut guard);
        assert!(Place::renewed(&mut guard).reason.contains("deleted"));
        place.store(&mut guard, 0).unwrap();
        assert_eq!(place.stored(), [0]);
    }
}

#[test]
fn a_backup_that_was_put_in_place_is_used() {
    let (place, mut guard) = Place::new();
    let backup = tempfile::tempdir().unwrap();
    Store::open(backup.path()).unwrap().insert_kills(&[record(7)]).unwrap();
    place.store(&mut guard, 0).unwrap();
    fs::rename(backup.path().join(FILE), place.file("")).unwrap();
    assert_eq!(place.store(&mut guard, 1).unwrap(), 1);
    assert_eq!(place.stored(), [1, 7]);
    let Renewed { reason, kills, .. } = Place::renewed(&mut guard);
    assert!(reason.contains("another file took its place"), "{reason}");
    assert_eq!(kills, Some(1));
}

#[test]
fn anything_else_in_its_place_is_set_aside() {
    type Put = fn(&Path);
    let puts: [Put; 3] = [
        |path| fs::write(path, "not a database, but longer than a header").unwrap(),
        |path| fs::create_dir(path).unwrap(),
        |path| std::os::unix::fs::symlink("/nowhere", path).unwrap(),
    ];
    for put in puts {
        let (place, mut guard) = Place::new();
        place.store(&mut guard, 0).unwrap();
        fs::remove_file(place.file("")).unwrap();
        put(&place.file(""));
        assert_eq!(place.store(&mut guard, 1).unwrap(), 1);
        assert_eq!(place.stored(), [1]);
        let aside = Place::renewed(&mut guard).aside.unwrap();
        assert!(fs::symlink_metadata(&aside).is_ok(), "{}", aside.display());
        assert!(aside.display().to_string().contains(".corrupt-1780001000"), "{}", aside.display());
    }
}

#[test]
fn a_header_that_was_overwritten_and_a_truncation_are_noticed() {
    let overwrite = |path: &Path| {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(&[0xa5; 100], 0).unwrap();
    };
    let truncate = |path: &Path| OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
    let damages: [&dyn Fn(&Path); 2] = [&overwrite, &truncate];
    for damage in damages {
        let (mut place, mut guard) = Place::new();
        place.store(&mut guard, 0).unwrap();
        damage(&place.file(""));
        place.look(&mut guard);
        let Renewed { reason, aside, .. } = Place::renewed(&mut guard);
        assert!(reason.contains("the file is damaged"), "{reason}");
        assert!(aside.unwrap().exists());
        place.store(&mut guard, 1).unwrap();
        assert_eq!(place.stored(), [1]);
    }
}

/// What SQLite has cached hides it from the connection.
#[test]
fn pages_that_were_overwritten_are_noticed() {
    let (mut place, mut guard) = Place::new();
    for n in 0..50 {
        place.store(&mut guard, n).unwrap();
    }
    // Into the database, from where a reader takes it.
    assert!(guard.store().unwrap().save_log());
    let file = OpenOptions::new().write(true).open(place.file("")).unwrap();
    for page in 2..file.metadata().unwrap().len() / 4096 {
        file.write_all_at(&[0xa5; 4096], page * 4096).unwrap();
    }
    place.look(&mut guard);
    assert!(Place::renewed(&mut guard).aside.unwrap().exists());
    place.store(&mut guard, 99).unwrap();
    assert_eq!(place.stored(), [99]);
}

#[test]
fn damage_that_a_write_finds_does_not_cost_the_kill() {
    let (place, mut guard) = Place::new();
    place.store(&mut guard, 0).unwrap();
    let mut first = true;
    let written = guard.write(&place.now(), |store| {
        if std::mem::take(&mut first) {
            let path = store.path().to_owned();
            return Err(StoreError::Corrupt { path, reason: "database disk image is malformed".to_owned() });
        }
        store.insert_kills(&[record(1)])
    });
    assert_eq!(written.unwrap(), 1);
    assert_eq!(place.stored(), [1]);
    let aside = Place::renewed(&mut guard).aside.unwrap();
    assert!(aside.display().to_string().ends_with("memtrace.db.corrupt-1780001000"), "{}", aside.display());
    // It can still be examined, with its log.
    assert!(Path::new(&format!("{}-wal", aside.display())).exists());
}

#[test]
fn what_is_in_a_deleted_log_is_not_lost() {
    let (place, mut guard) = Place::new();
    for n in 0..3 {
        place.store(&mut guard, n).unwrap();
    }
    fs::remove_file(place.file("-wal")).unwrap();
    assert_eq!(place.store(&mut guard, 3).unwrap(), 1, "it is counted once");
    assert_eq!(place.stored(), [0, 1, 2, 3]);
    assert!(Place::renewed(&mut guard).reason.contains("memtrace.db-wal"));
    fs::remove_file(place.file("-shm")).unwrap();
    let later = Now { since_boot: place.now().since_boot + 60_000_000_000, ..place.now() };
    guard.look(&later);
    guard.write(&later, |store| store.insert_kills(&[record(4)])).unwrap();
    assert_eq!(place.stored(), [0, 1, 2, 3, 4]);
}

#[test]
fn a_store_that_became_read_only_is_opened_again() {
    let (place, mut guard) = Place::new();
    place.store(&mut guard, 0).unwrap();
    guard.store().unwrap().connection.pragma_update(None, "query_only", true).unwrap();
    assert_eq!(place.store(&mut guard, 1).unwrap(), 1);
    assert_eq!(place.stored(), [0, 1]);
    assert_eq!(guard.news(), [], "it is the same store");
}

#[test]
fn a_full_disk_replaces_nothing() {
    let (mut place, mut guard) = Place::new();
    place.store(&mut guard, 0).unwrap();
    let connection = &guard.store().unwrap().connection;
    let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    let limit = |guard: &Guard, pages: i64| {
        let connection = &guard.store().unwrap().connection;
        connection
            .pragma_update_and_check(None, "max_page_count", pages, |row| row.get::<_, i64>(0))
            .unwrap();
    };
    limit(&guard, pages);
    let many: Vec<_> = (1..50).map(record).collect();
    let error = guard.write(&place.now(), |store| store.insert_kills(&many)).unwrap_err();
    assert!(error.is_full(), "{error}");
    place.look(&mut guard);
    assert!(guard.problem().unwrap().contains("full"), "{:?}", guard.problem());
    assert_eq!((guard.news(), place.stored()), (vec![], vec![0]));
    limit(&guard, 1 << 20);
    assert_eq!(guard.write(&place.now(), |store| store.insert_kills(&many)).unwrap(), 49);
    assert_eq!(guard.problem(), None);
}

#[test]
fn a_directory_that_cannot_be_used_is_tried_again_and_the_kill_is_kept_by_the_caller() {
    let (mut place, mut guard) = Place::new();
    place.store(&mut guard, 0).unwrap();
    fs::remove_dir_all(&place.dir).unwrap();
    fs::write(&place.dir, "in the way").unwrap();
    place.store(&mut guard, 1).unwrap_err();
    place.look(&mut guard);
    assert!(guard.problem().is_some());
    fs::remove_file(&place.dir).unwrap();
    *place.refused.lock().unwrap() = Some("another daemon uses it".to_owned());
    place.look(&mut guard);
    assert!(guard.problem().unwrap().contains("another daemon uses it"), "{:?}", guard.problem());
    assert!(!place.dir.exists(), "nothing is written without the lock");
    *place.refused.lock().unwrap() = None;
    place.seconds += 10;
    assert_eq!(place.store(&mut guard, 1).unwrap(), 1);
    assert_eq!((place.stored(), guard.problem()), (vec![1], None));
    assert!(Place::renewed(&mut guard).reason.contains("deleted"), "the first reason");
}

#[test]
fn a_lost_lock_is_told() {
    let (mut place, mut guard) = Place::new();
    *place.refused.lock().unwrap() = Some("another daemon uses it".to_owned());
    place.look(&mut guard);
    assert!(guard.problem().unwrap().contains("another daemon uses it"));
    *place.refused.lock().unwrap() = None;
    place.look(&mut guard);
    assert_eq!(guard.problem(), None);
}

#[test]
fn a_disk_that_damages_everything_is_not_filled_with_damaged_stores() {
    let (mut place, mut guard) = Place::new();
    let corrupt = |store: &mut Store| {
        Err::<(), _>(StoreError::Corrupt { path: store.path().to_owned(), reason: "bad".to_owned() })
    };
    for _ in 0..200 {
        guard.write(&place.now(), corrupt).unwrap_err();
        place.seconds += 1;
    }
    let asides = fs::read_dir(&place.dir).unwrap().flatten();
    let asides = asides.filter(|entry| entry.file_name().to_string_lossy().contains(".corrupt-"));
    assert!(asides.count() <= 8 * 3);
    let replaced = guard.news().len();
    assert!((1..=20).contains(&replaced), "{replaced}");
}

#[test]
fn a_store_of_a_newer_version_is_not_touched() {
    let (mut place, mut guard) = Place::new();
    let newer = rusqlite::Connection::open(place.dir.join("newer")).unwrap();
    newer.execute_batch("CREATE TABLE future (a); PRAGMA user_version = 99").unwrap();
    drop(newer);
    fs::rename(place.dir.join("newer"), place.file("")).unwrap();
    let before = fs::read(place.file("")).unwrap();
    for _ in 0..3 {
        place.store(&mut guard, 0).unwrap_err();
        place.look(&mut guard);
        assert!(guard.problem().unwrap().contains("its version is 99"), "{:?}", guard.problem());
    }
    assert_eq!(fs::read(place.file("")).unwrap(), before);
}
