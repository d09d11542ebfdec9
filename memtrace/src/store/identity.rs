//! Whether the open database is still the file at its path, and looks like one.
//!
//! The files as they were opened, and the paths now -> an error that names the difference. Must not read records.
//!
//! SQLite notices none of this while it commits to the log: a file that was deleted or replaced takes all writes, and
//! nobody ever reads them.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use super::StoreError;

/// Suffix of the write-ahead log.
pub(super) const LOG: &str = "-wal";
/// Suffix of the log's index.
pub(super) const LOG_INDEX: &str = "-shm";
/// The first bytes of every database.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// The files of an open database.
#[derive(Debug)]
pub(super) struct Identity {
    path: PathBuf,
    /// The database. It must stay open until SQLite has closed it: closing any descriptor of a file releases all locks
    /// of this process on it.
    file: File,
    database: Inode,
    /// The log and its index; `None` if SQLite does not use them here.
    beside: [Option<Inode>; 2],
}

/// A file, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Inode {
    device: u64,
    number: u64,
}

impl Inode {
    fn of(metadata: &fs::Metadata) -> Self {
        Self { device: metadata.dev(), number: metadata.ino() }
    }

    /// Of the file at a path, if there is one.
    fn at(path: &Path) -> Result<Option<Self>, StoreError> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(Self::of(&metadata))),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(error) => Err(StoreError::io("stat", path, error)),
        }
    }
}

impl Identity {
    /// Of a database that SQLite has opened; `file` is the same file.
    pub(super) fn new(path: &Path, file: File) -> Result<Self, StoreError> {
        let metadata = file.metadata().map_err(|error| StoreError::io("stat", path, error))?;
        let beside = [Inode::at(&beside(path, LOG))?, Inode::at(&beside(path, LOG_INDEX))?];
        Ok(Self { path: path.to_owned(), file, database: Inode::of(&metadata), beside })
    }

    /// Compares the files with their paths.
    ///
    /// # Errors
    /// The first difference.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let path = || self.path.clone();
        match Inode::at(&self.path)? {
            None => return Err(StoreError::Deleted { path: path() }),
            Some(now) if now != self.database => return Err(StoreError::Replaced { path: path() }),
            Some(_) => {}
        }
        for (then, suffix) in self.beside.iter().zip([LOG, LOG_INDEX]) {
            let log = beside(&self.path, suffix);
            if then.is_some() && Inode::at(&log)? != *then {
                return Err(StoreError::LogLost { path: log });
            }
        }
        let mut start = [0; MAGIC.len()];
        match self.file.read_exact_at(&mut start, 0) {
            Ok(()) if start == *MAGIC => Ok(()),
            Ok(()) => {
                Err(StoreError::Corrupt { path: path(), reason: "its header was overwritten".to_owned() })
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(StoreError::Corrupt { path: path(), reason: "it was truncated".to_owned() })
            }
            Err(error) => Err(StoreError::io("read", &self.path, error)),
        }
    }

    /// Those of the log and its index whose paths still lead to the files that were opened.
    pub(super) fn logs(&self) -> Vec<&'static str> {
        let is_ours = |(then, suffix): &(&Option<Inode>, &'static str)| {
            then.is_some() && Inode::at(&beside(&self.path, suffix)).ok().flatten() == **then
        };
        self.beside.iter().zip([LOG, LOG_INDEX]).filter(is_ours).map(|(_, suffix)| suffix).collect()
    }

    /// Those whose paths lead to other files.
    pub(super) fn foreign_logs(&self) -> Vec<&'static str> {
        let is_foreign = |(then, suffix): &(&Option<Inode>, &'static str)| {
            Inode::at(&beside(&self.path, suffix)).ok().flatten().is_some_and(|now| Some(now) != **then)
        };
        self.beside.iter().zip([LOG, LOG_INDEX]).filter(is_foreign).map(|(_, suffix)| suffix).collect()
    }
}

/// The path with a suffix.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}
