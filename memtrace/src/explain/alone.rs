//! A snapshot without a daemon: /proc, with page tables and counters of some targets.
//!
//! /proc, words and a [`Reader`] -> [`Snapshot`]. What may not be read is told in the rows.

use std::{path::Path, time::Duration};

use super::{Facts, NotFound, explain, find};
use crate::{
    allocator::image::process::Budget,
    mm::procfs::Error,
    model::Model,
    reader::{self, Reader},
    snapshot::Snapshot,
    units::Bytes,
};

/// Maximum number of processes whose page tables are read.
const MOST_READ: usize = 512;

/// Budget for the counters of one process; larger than the daemon's, as no other process waits.
const ONCE: Budget = Budget { bytes: 1 << 30, time: Duration::from_secs(2) };

/// How often a process is read again whose programs were not searched before the time was over.
const MORE_TIMES: usize = 2;

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum Alone {
    /// /proc cannot be listed.
    #[error("failed to list the processes")]
    NotListed(#[from] Error),
    /// A word names nothing.
    #[error(transparent)]
    NotFound(#[from] NotFound),
}

/// Takes it.
///
/// # Errors
/// See [`Alone`].
pub fn snapshot(proc: &Path, reader: &mut dyn Reader, words: &[impl AsRef<str>]) -> Result<Snapshot, Alone> {
    let mut model = Model::of_host(proc);
    model.seed()?;
    model.touch_all();
    let first = model.snapshot(None);
    let mut pids = Vec::new();
    for word in words {
        let subject = find(&first, word.as_ref())?;
        pids.extend(explain(&first, None, &Facts::default(), &subject).processes);
    }
    for process in pids.iter().filter(|process| process.rss_bytes > Some(Bytes(0))).take(MOST_READ) {
        let request = model.expect(process.pid);
        let mut scan = reader::scan(reader, request.clone(), ONCE);
        // The reader remembers the programs that it has searched.
        for _ in 0..MORE_TIMES {
            if scan.evidence.as_ref().is_none_or(|evidence| evidence.unfinished.is_none()) {
                break;
            }
            scan = reader::scan(reader, request.clone(), ONCE);
        }
        model.take(scan);
    }
    // Fresh totals, to match the page tables.
    model.touch_all();
    Ok(model.snapshot(None))
}
