//! Errors of the store, distinguished by what the caller must do.
//!
//! SQLite's and the system's errors -> [`StoreError`]. Must not swallow the cause.

use std::{
    io,
    path::{Path, PathBuf},
};

use rusqlite::ErrorCode;
use thiserror::Error;

/// Why the store could not be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// There is no store here: no daemon has run with this state directory.
    #[error("failed to find a store at {}", path.display())]
    Missing {
        /// The missing database.
        path: PathBuf,
    },
    /// An error of the file system.
    #[error("failed to {action} {}", path.display())]
    Io {
        /// The action that failed.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// An error of SQLite.
    #[error("failed to {action} {}", path.display())]
    Sqlite {
        /// The action that failed.
        action: &'static str,
        /// The database.
        path: PathBuf,
        /// Why not.
        source: rusqlite::Error,
    },
    /// The store is read-only, but the daemon must write it.
    #[error("failed to open {} for writing: it is read-only", path.display())]
    ReadOnly {
        /// The database.
        path: PathBuf,
    },
    /// The last entries are in the write-ahead log, which cannot be read from here.
    #[error(
        "failed to read the write-ahead log of {}: its index is missing and cannot be made in this directory; \
         copy {file}* to a writable directory and use that as --state-dir",
        path.display(),
        file = super::FILE
    )]
    LogUnreadable {
        /// The database.
        path: PathBuf,
        /// Why not.
        source: rusqlite::Error,
    },
    /// Written by a newer memtrace; not changed.
    #[error(
        "failed to open {}: its version is {found}, and this memtrace knows versions up to {known}",
        path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// Not a database, or a damaged one.
    #[error("failed to read {}: the file is damaged ({reason})", path.display())]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// The message of SQLite.
        reason: String,
    },
    /// The open database has lost its name.
    #[error("failed to use {}: the file was deleted while it was open", path.display())]
    Deleted {
        /// Its path.
        path: PathBuf,
    },
    /// Another file has the path of the open database.
    #[error("failed to use {}: another file took its place while it was open", path.display())]
    Replaced {
        /// Its path.
        path: PathBuf,
    },
    /// The log of the open database, or its index, was deleted or replaced.
    #[error("failed to use {}: the file was deleted or replaced while it was open", path.display())]
    LogLost {
        /// The path of the log.
        path: PathBuf,
    },
    /// The directory cannot be used by this process alone.
    #[error("failed to use {}: {reason}", path.display())]
    NotOurs {
        /// The directory.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The prefix of an id matches several records.
    #[error(
        "failed to choose a record: several ids start with {prefix:?}: {}{}",
        matches.join(", "),
        if *more { " and more" } else { "" }
    )]
    Ambiguous {
        /// The prefix.
        prefix: String,
        /// The first matching ids, oldest first.
        matches: Vec<String>,
        /// Whether there are more.
        more: bool,
    },
    /// One stored record cannot be read; the others can.
    #[error("failed to decode record {id} of {}", path.display())]
    Record {
        /// Id of the record.
        id: String,
        /// The database.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
}

impl StoreError {
    /// Whether the disk (or the quota) was full: nothing is damaged, and trying again later may work.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            _ => self.code() == Some(ErrorCode::DiskFull),
        }
    }

    /// Whether the store may only be read: a read-only file system or file.
    pub fn is_read_only(&self) -> bool {
        match self {
            Self::ReadOnly { .. } => true,
            Self::Io { source, .. } => source.kind() == io::ErrorKind::ReadOnlyFilesystem,
            _ => self.code() == Some(ErrorCode::ReadOnly),
        }
    }

    /// Whether the user may not open the store.
    pub fn is_denied(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
            _ => self.code() == Some(ErrorCode::PermissionDenied),
        }
    }

    /// Converts an error of SQLite; damage becomes [`StoreError::Corrupt`].
    pub(super) fn sqlite(action: &'static str, path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Corrupt { path, reason: source.to_string() }
            }
            _ => Self::Sqlite { action, path, source },
        }
    }

    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    pub(super) fn record(id: &str, path: &Path, source: serde_json::Error) -> Self {
        Self::Record { id: id.to_owned(), path: path.to_owned(), source }
    }

    /// SQLite's primary result code, if there is one.
    pub(super) fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Sqlite { source, .. } | Self::LogUnreadable { source, .. } => source.sqlite_error_code(),
            Self::Missing { .. }
            | Self::Io { .. }
            | Self::ReadOnly { .. }
            | Self::Newer { .. }
            | Self::Corrupt { .. }
            | Self::Deleted { .. }
            | Self::Replaced { .. }
            | Self::LogLost { .. }
            | Self::NotOurs { .. }
            | Self::Ambiguous { .. }
            | Self::Record { .. } => None,
        }
    }
}
