//! The records that a daemon has of a run's OOM kills.
//!
//! The daemon's store -> ids and sentences. Waits a moment for the record of a kill that has just happened, if a daemon
//! runs; needs none.

use std::{
    os::unix::net::UnixStream,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::{
    report::sentence,
    sizing::run::Record,
    store::{Filter, Store},
};

/// How long a daemon may take to store a kill.
const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(50);
/// The most records that are told.
const MOST: usize = 8;

/// The records of kills in the cgroup at `path`, escaped, since `since`.
pub fn of(state: &Path, socket: &Path, path: &str, since: Timestamp) -> Vec<Record> {
    let is_expected = UnixStream::connect(socket).is_ok();
    let end = Instant::now() + if is_expected { PATIENCE } else { Duration::ZERO };
    loop {
        let found = find(state, path, since).unwrap_or_default();
        if !found.is_empty() || Instant::now() >= end {
            return found;
        }
        thread::sleep(PAUSE);
    }
}

fn find(state: &Path, path: &str, since: Timestamp) -> Option<Vec<Record>> {
    let store = Store::open_read_only(state).ok()?;
    let filter =
        Filter { since: Some(since), cgroup: Some(path.to_owned()), limit: Some(MOST), ..Filter::default() };
    let records = store.list(&filter).ok()?.into_iter().filter_map(|kill| store.kill(&kill.id).ok()?);
    Some(records.map(|record| Record { id: record.id.clone(), sentence: sentence(&record) }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_daemon_there_are_none_and_nobody_waits() {
        let dir = tempfile::tempdir().unwrap();
        assert!(of(dir.path(), &dir.path().join("socket"), "/a", Timestamp::UNIX_EPOCH).is_empty());
    }
}
