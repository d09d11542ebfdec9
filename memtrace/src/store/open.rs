//! Opening the store, for the daemon and for readers.
//!
//! A state directory -> [`Store`]. Must not create the directory, must not touch a store of a newer version, and
//! must not delete a damaged one.
//!
//! The database is in write-ahead mode, so readers and the daemon do not wait for each other. A reader of such a
//! database needs its `-shm` file, or permission to create it. If it is missing (a clean stop removes it, and the
//! directory may be read-only), a reader opens the database as immutable, but only if there is no log.

use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io,
    os::unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    path::Path,
    time::Duration,
};

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags, config::DbConfig};
use rustix::{
    fs::{Access, access},
    io::Errno,
};

use super::{
    FILE, Store, StoreError, aside,
    identity::{Identity, LOG, beside},
    migrate,
};

/// How long to wait for another process's lock: longer than any transaction of ours on a slow disk.
const BUSY: Duration = Duration::from_secs(5);
/// File mode: records contain kernel addresses, so not all users may read them.
const MODE: u32 = 0o640;
/// The largest store of which all pages are read again and again; that takes some 20 ms. Where only the rows of workloads
/// make it larger, the tables that hold kills are read.
const EXAMINED: u64 = 16 << 20;
/// The tables of kills.
const OF_KILLS: [&str; 6] = ["kills", "member_kills", "exits", "tallies", "member_tallies", "store_time"];

impl Store {
    /// Opens the store for writing and creates it if it is missing. `dir` must exist, and the caller must be the only
    /// writer. A damaged store is moved away, to [`Store::set_aside`].
    ///
    /// # Errors
    /// When the store cannot be written, or a newer memtrace wrote it.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_at(dir, Timestamp::now())
    }

    /// The same at a given time.
    pub(super) fn open_at(dir: &Path, now: Timestamp) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        match writer(&path) {
            Err(StoreError::Corrupt { .. }) => {
                let set_aside = aside::database(&path, now)?;
                writer(&path).map(|store| Self { set_aside, ..store })
            }
            opened => opened,
        }
    }

    /// Opens the store for reading, whether the daemon runs or not; also in a read-only directory.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is none; else when it cannot be read.
    pub fn open_read_only(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        // The system's error is more precise than SQLite's "unable to open". Not by opening it: in the daemon, closing it
        // again would release the locks of the recorder's connection.
        match access(&path, Access::READ_OK) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Err(StoreError::Missing { path }),
            Err(error) => return Err(StoreError::io("open", &path, error.into())),
        }
        let connection = match reader(&path, Reading::Shared) {
            Err(StoreError::Sqlite { action, path, source }) if needs_write(&source) => {
                if !log_is_empty(&path)? {
                    return Err(StoreError::LogUnreadable { path, source });
                }
                // Without a log there is no writer, and the file is complete.
                reader(&path, Reading::Immutable).map_err(|_| StoreError::Sqlite { action, path, source })
            }
            other => other,
        }?;
        Ok(Self { connection, path, set_aside: None, identity: None, mark: None })
    }

    /// Whether the files are still those at the store's path.
    ///
    /// # Errors
    /// When they are not, or the database's header is damaged.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.identity.as_ref().map_or(Ok(()), Identity::check)
    }

    /// Reads all pages of a store that is not large, with a connection of its own, which has not cached them.
    ///
    /// # Errors
    /// When it is damaged.
    pub(super) fn examine(&self) -> Result<(), StoreError> {
        let used = self.used()?;
        if used.saturating_sub(self.rows_used()?) > EXAMINED {
            return Ok(());
        }
        let tables: &[&str] = if used > EXAMINED { &OF_KILLS } else { &[] };
        let found = reader(&self.path, Reading::Shared)
            .and_then(|connection| examine(&connection, &self.path, tables));
        match found {
            // Another process may hold a lock, or the path may lead elsewhere by now.
            Err(error) if !matches!(error, StoreError::Corrupt { .. }) => Ok(()),
            found => found,
        }
    }

    /// Moves all commits from the log to the database, although the log has lost its name. True if none is left there.
    pub(super) fn save_log(&self) -> bool {
        let moved = self.connection.query_row("PRAGMA wal_checkpoint(FULL)", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        });
        moved.is_ok_and(|(busy, all, done)| busy == 0 && all == done)
    }

    /// Closes it without touching a file. Returns which logs at the path are its own, and which are not.
    pub(super) fn abandon(self) -> Logs {
        // Otherwise SQLite may delete the log at the path, whosoever it is.
        let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        let identity = self.identity.as_ref();
        Logs {
            own: identity.map(Identity::logs).unwrap_or_default(),
            foreign: identity.map(Identity::foreign_logs).unwrap_or_default(),
        }
    }
}

/// Suffixes of logs at the path of an abandoned store.
pub(super) struct Logs {
    /// Those that it wrote.
    pub(super) own: Vec<&'static str>,
    /// Those that were put there.
    pub(super) foreign: Vec<&'static str>,
}

/// Reads the pages of these tables, or of the whole database if none is named.
fn examine(connection: &Connection, path: &Path, tables: &[&str]) -> Result<(), StoreError> {
    let checks: &[&str] = if tables.is_empty() { &["1"] } else { tables };
    for what in checks {
        let check = format!("PRAGMA quick_check({what})");
        let verdict = connection.query_row(&check, [], |row| row.get::<_, String>(0));
        let verdict = verdict.map_err(|error| StoreError::sqlite("read", path, error))?;
        if verdict != "ok" {
            return Err(StoreError::Corrupt { path: path.to_owned(), reason: verdict.replace('\n', " ") });
        }
    }
    Ok(())
}

fn writer(path: &Path) -> Result<Store, StoreError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(MODE)
        .open(path)
        .map_err(|error| StoreError::io("open", path, error))?;
    let failed = |error| StoreError::sqlite("open", path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    // Closing must not write either, until the version is checked.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
    refuse_newer(path, migrate::version(&connection).map_err(failed)?)?;
    if connection.is_readonly(MAIN_DB).map_err(failed)? {
        return Err(StoreError::ReadOnly { path: path.to_owned() });
    }
    // Reads each page once and checks no index, which takes milliseconds for thousands of kills.
    examine(&connection, path, &[])?;
    // If memory cannot be shared (some network file systems), SQLite stays in rollback mode: equally durable, but
    // readers may wait.
    let _: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(failed)?;
    // FULL: in write-ahead mode NORMAL may lose the last commits in a power cut.
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    migrate::migrate(&mut connection).map_err(|error| StoreError::sqlite("migrate", path, error))?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(failed)?;
    let identity = Identity::new(path, file)?;
    // Another file may have taken the path between the two calls.
    identity.check()?;
    Ok(Store { connection, path: path.to_owned(), set_aside: None, identity: Some(identity), mark: None })
}

/// How a reader opens the database.
#[derive(Clone, Copy)]
enum Reading {
    /// With the log, and with later commits of the daemon.
    Shared,
    /// The database file only, without locks.
    Immutable,
}

fn reader(path: &Path, reading: Reading) -> Result<Connection, StoreError> {
    let failed = |error| StoreError::sqlite("open", path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match reading {
        Reading::Shared => Connection::open_with_flags(path, flags),
        Reading::Immutable => {
            Connection::open_with_flags(immutable_uri(path), flags | OpenFlags::SQLITE_OPEN_URI)
        }
    }
    .map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    match migrate::version(&connection).map_err(failed)? {
        // The daemon is creating it just now.
        0 => Err(StoreError::Missing { path: path.to_owned() }),
        version => refuse_newer(path, version).map(|()| connection),
    }
}

fn refuse_newer(path: &Path, found: i64) -> Result<(), StoreError> {
    if found > migrate::CURRENT {
        return Err(StoreError::Newer { path: path.to_owned(), found, known: migrate::CURRENT });
    }
    Ok(())
}

/// Whether reading failed because the log's index could not be created.
fn needs_write(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

fn log_is_empty(path: &Path) -> Result<bool, StoreError> {
    let log = beside(path, LOG);
    match fs::metadata(&log) {
        Ok(metadata) => Ok(metadata.len() == 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(StoreError::io("stat", &log, error)),
    }
}

fn immutable_uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(uri, "%{byte:02x}");
        }
    }
    uri.push_str("?immutable=1");
    uri
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::immutable_uri;

    #[test]
    fn a_path_is_quoted_in_the_uri() {
        assert_eq!(
            immutable_uri(Path::new("/var/a b?c%/ö.db")),
            "file:/var/a%20b%3fc%25/%c3%b6.db?immutable=1"
        );
    }
}
