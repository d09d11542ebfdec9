//! Persistent storage: OOM kills and the history of workloads in one SQLite file of the state directory.
//!
//! [`OomRecord`](crate::oom::record::OomRecord)s, rows -> `memtrace.db` -> the same again, after a crash, a power cut or a
//! full disk in between. Must not know who writes (the daemon holds the state directory's lock, not this module), must
//! not judge a record, and must not delete records that it cannot read: a damaged database is set aside.

mod aside;
pub mod baselines;
mod columns;
#[cfg(test)]
mod durability;
mod error;
mod exits;
#[cfg(test)]
pub mod fixture;
pub mod guard;
mod identity;
mod kills;
mod members;
mod migrate;
mod open;
mod pages;
mod retention;
mod sequence;
mod store_time;
mod story;
mod tallies;
#[cfg(test)]
mod tests;
pub mod workload_rows;

use std::path::{Path, PathBuf};

use rusqlite::Connection;

pub use self::{
    error::StoreError,
    kills::{Filter, KillSummary},
    members::MemberKill,
    pages::{KillPage, Place, RowPage},
    retention::Retention,
    sequence::Stored,
    store_time::Now,
    tallies::Tally,
};

/// Name of the database in the state directory.
pub const FILE: &str = "memtrace.db";

/// An open store: the daemon's, or a reader's.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
    set_aside: Option<PathBuf>,
    /// The files of the connection; `None` for a reader. It must be dropped after the connection.
    identity: Option<identity::Identity>,
    /// The store's time; `None` until the first reading of the clocks.
    mark: Option<store_time::Mark>,
}

impl Store {
    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path to which a damaged store was moved.
    pub fn set_aside(&self) -> Option<&Path> {
        self.set_aside.as_deref()
    }
}
