//! The daemon's store while it runs: when its files are deleted, replaced or damaged, a new one is begun.
//!
//! Writes -> durable rows in the file at the store's path, or an error. The state of the disk and the clocks are inputs.
//! Must not delete records, and must not report a write as durable if its file is not the one at the path.
//!
//! | what happened | what is done |
//! |---|---|
//! | the disk is full, another process holds a lock | nothing: the caller tries again |
//! | the database or the whole directory was deleted | a new one; its orphaned log is set aside |
//! | another file is at the path | that one is opened, or set aside if it is damaged |
//! | the log was deleted | what it held goes into the database, which is opened again |
//! | the database is damaged | it is set aside with its log; a new one |
//! | the file system became read-only, or fails | it is opened again, as long as it takes |

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use rusqlite::ErrorCode;

use super::{FILE, Store, StoreError, aside, open::Logs, store_time::Now};

/// How often the store is examined, even if nothing is written.
const LOOK: Duration = Duration::from_secs(30);
/// The least time between two attempts to replace it: a bad disk must not be filled with damaged stores.
const PAUSE: Duration = Duration::from_secs(10);
/// The most replacements that wait to be reported.
const MOST_NEWS: usize = 16;

/// Makes the directory usable for this process alone: creates it if it is missing, and holds its lock.
pub type Prepare = Box<dyn FnMut() -> Result<(), String> + Send>;

/// A store whose files had to be replaced, or were replaced by somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// When.
    pub time: Timestamp,
    /// Why.
    pub reason: String,
    /// Where what remains of the old one is now.
    pub aside: Option<PathBuf>,
    /// How many kills the store has now.
    pub kills: Option<u64>,
}

/// The store, guarded.
pub struct Guard {
    dir: PathBuf,
    prepare: Prepare,
    /// `None` while it cannot be opened.
    store: Option<Store>,
    looked: Option<u64>,
    tried: Option<u64>,
    /// Why the store cannot be used.
    unusable: Option<String>,
    /// Why the last write failed.
    failed: Option<String>,
    /// What happened to the last store, until there is a new one.
    loss: Option<Loss>,
    news: Vec<Renewed>,
}

#[derive(Default)]
struct Loss {
    reason: String,
    is_new: bool,
    aside: Option<PathBuf>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("store", &self.store)
            .field("problem", &self.problem())
            .finish_non_exhaustive()
    }
}

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remedy {
    Wait,
    SaveLog,
    SetAside,
    OpenAgain,
}

fn remedy(error: &StoreError) -> Remedy {
    match error {
        StoreError::Corrupt { .. } => Remedy::SetAside,
        StoreError::LogLost { .. } => Remedy::SaveLog,
        StoreError::Newer { .. } | StoreError::Ambiguous { .. } | StoreError::Record { .. } => Remedy::Wait,
        _ if error.is_full() => Remedy::Wait,
        _ => match error.code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OutOfMemory) => {
                Remedy::Wait
            }
            _ => Remedy::OpenAgain,
        },
    }
}

impl Guard {
    /// Opens the store of a prepared directory.
    ///
    /// # Errors
    /// See [`Store::open`].
    pub fn open(dir: &Path, prepare: Prepare, now: &Now) -> Result<Self, StoreError> {
        let mut store = Store::open_at(dir, now.wall)?;
        store.tick(now)?;
        Ok(Self {
            dir: dir.to_owned(),
            prepare,
            store: Some(store),
            looked: None,
            tried: None,
            unusable: None,
            failed: None,
            loss: None,
            news: Vec::new(),
        })
    }

    /// The store, if it could be opened.
    pub fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// Why nothing can be stored at the moment.
    pub fn problem(&self) -> Option<&str> {
        self.unusable.as_deref().or(self.failed.as_deref())
    }

    /// How often, and why, the store was replaced since the last call.
    pub fn news(&mut self) -> Vec<Renewed> {
        std::mem::take(&mut self.news)
    }

    /// Writes to the store. What is written is durable in the file at the store's path when this returns. If the store
    /// had to be replaced, `write` is called again on the new one.
    ///
    /// # Errors
    /// When it could not be written; a later try may work.
    pub fn write<T>(
        &mut self,
        now: &Now,
        mut write: impl FnMut(&mut Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let written = self.attempt(now, &mut write);
        self.failed = written.as_ref().err().map(chain);
        written
    }

    fn attempt<T>(
        &mut self,
        now: &Now,
        write: &mut impl FnMut(&mut Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let outcome = match self.store.as_mut() {
            Some(store) => once(store, now, write),
            None => Outcome::Failed(self.missing()),
        };
        let (misplaced, error) = match outcome {
            Outcome::Durable(value) => return Ok(value),
            Outcome::Misplaced(value, error) => (Some(value), error),
            Outcome::Failed(error) => (None, error),
        };
        let is_saved = self.recover(now, error)?;
        // It is in the database, where a second write of it might count twice.
        if let Some(value) = misplaced.filter(|_| is_saved) {
            return Ok(value);
        }
        let Some(store) = self.store.as_mut() else { return Err(self.missing()) };
        match once(store, now, write) {
            Outcome::Durable(value) => Ok(value),
            Outcome::Misplaced(_, error) | Outcome::Failed(error) => Err(error),
        }
    }

    fn missing(&self) -> StoreError {
        StoreError::Missing { path: self.dir.join(FILE) }
    }

    /// Examines the store if that is due, and replaces it if it must be.
    pub fn look(&mut self, now: &Now) {
        let is_due = |at: u64| now.since_boot.saturating_sub(at) >= nanoseconds(LOOK);
        if !self.looked.is_none_or(is_due) {
            return;
        }
        self.looked = Some(now.since_boot);
        let found = match &self.store {
            Some(store) => store.check().and_then(|()| store.examine()),
            None => Err(StoreError::Missing { path: self.dir.join(FILE) }),
        };
        let found = match found {
            Ok(()) => self.prepared(),
            Err(error) => self.recover(now, error).map(drop),
        };
        if let Err(error) = found {
            // An attempt just before this one knows more.
            self.unusable.get_or_insert_with(|| chain(&error));
        }
    }

    fn prepared(&mut self) -> Result<(), StoreError> {
        let prepared = (self.prepare)();
        let path = || self.dir.clone();
        self.unusable = None;
        prepared.map_err(|reason| StoreError::NotOurs { path: path(), reason })
    }

    /// Opens the store again or begins a new one. True if the last writes are in it.
    fn recover(&mut self, now: &Now, error: StoreError) -> Result<bool, StoreError> {
        let is_early = |at: u64| now.since_boot.saturating_sub(at) < nanoseconds(PAUSE);
        if remedy(&error) == Remedy::Wait || self.tried.is_some_and(is_early) {
            return Err(error);
        }
        self.tried = Some(now.since_boot);
        // A file that is not at the path explains any other error, and what is at the path must not suffer for it.
        let error = match self.store.as_ref().map(Store::check) {
            Some(Err(found)) if remedy(&found) != Remedy::OpenAgain || is_lost(&found) => found,
            _ => error,
        };
        let replaced = self.replace(now, &error);
        self.unusable = replaced.as_ref().err().map(chain);
        replaced
    }

    fn replace(&mut self, now: &Now, error: &StoreError) -> Result<bool, StoreError> {
        self.prepared()?;
        // After a first attempt that failed, the next one does not know what happened.
        let mut loss = self.loss.take().unwrap_or_else(|| Loss { reason: chain(error), ..Loss::default() });
        loss.is_new |= is_lost(error) || matches!(remedy(error), Remedy::SetAside | Remedy::SaveLog);
        let opened = self.open_again(now, error, &mut loss.aside);
        match &opened {
            Err(_) => self.loss = Some(loss),
            Ok(_) if loss.is_new && self.news.len() < MOST_NEWS => {
                let Loss { reason, aside, .. } = loss;
                let kills = self.store.as_ref().and_then(|store| store.count().ok());
                self.news.push(Renewed { time: now.wall, reason, aside, kills });
            }
            Ok(_) => {}
        }
        opened
    }

    fn open_again(
        &mut self,
        now: &Now,
        error: &StoreError,
        aside: &mut Option<PathBuf>,
    ) -> Result<bool, StoreError> {
        let (path, remedy) = (self.dir.join(FILE), remedy(error));
        let mut is_saved = false;
        // The locks on a file end when it is closed, so that comes before it is opened again.
        if let Some(store) = self.store.take() {
            is_saved = remedy == Remedy::SaveLog && store.save_log();
            let Logs { own, foreign } = store.abandon();
            let orphans = if remedy == Remedy::SaveLog { foreign } else { own };
            if remedy == Remedy::SaveLog || is_lost(error) {
                *aside = aside::logs(&path, &orphans, now.wall)?;
            }
        }
        if remedy == Remedy::SetAside || path.symlink_metadata().is_ok_and(|data| !is_file(&path, &data)) {
            *aside = aside::database(&path, now.wall)?.or(aside.take());
        }
        let mut store = Store::open_at(&self.dir, now.wall)?;
        store.tick(now)?;
        if let Some(damaged) = store.set_aside() {
            *aside = Some(damaged.to_owned());
        }
        self.store = Some(store);
        Ok(is_saved)
    }
}

/// Whether the path does not lead to the open database any more.
fn is_lost(error: &StoreError) -> bool {
    matches!(error, StoreError::Deleted { .. } | StoreError::Replaced { .. })
}

/// How a write went.
enum Outcome<T> {
    /// It is in the file at the path.
    Durable(T),
    /// It was written, but not to the files at their paths.
    Misplaced(T, StoreError),
    /// It was not written.
    Failed(StoreError),
}

fn once<T>(
    store: &mut Store,
    now: &Now,
    write: &mut impl FnMut(&mut Store) -> Result<T, StoreError>,
) -> Outcome<T> {
    match store.tick(now).and_then(|()| write(store)) {
        Ok(value) => match store.check() {
            Ok(()) => Outcome::Durable(value),
            Err(error) => Outcome::Misplaced(value, error),
        },
        Err(error) => Outcome::Failed(error),
    }
}

/// Whether a path leads to a regular file; a link to one is fine.
fn is_file(path: &Path, data: &std::fs::Metadata) -> bool {
    data.is_file() || (data.is_symlink() && path.is_file())
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// An error with its causes.
fn chain(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
