//! A [`Reader`] that resolves paths in reader processes.
//!
//! Calls -> requests to [`Readers`]. Page tables, counters and stacks are still read in the calling thread.

use std::time::Duration;

use super::{
    Local, NotRead, Reader,
    pool::Readers,
    protocol::{Answer, Ask},
    scan::Job,
    tmpfs::Tmpfs,
};
use crate::{
    model::{
        scan::Scan,
        walk::{self, Unwound},
    },
    symbols::Place,
};

/// A reader that takes no CPU time for so long hangs.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks reader processes for what needs paths.
pub struct Remote {
    readers: Readers,
    near: Local,
}

impl Remote {
    /// Uses these readers for paths, and `near` for the rest.
    pub const fn new(readers: Readers, near: Local) -> Self {
        Self { readers, near }
    }
}

impl Reader for Remote {
    fn scan(&mut self, job: Job) -> Result<Scan, Box<Job>> {
        self.near.scan(job)
    }

    fn walk(&mut self, job: walk::Job) -> Unwound {
        self.near.walk(job)
    }

    fn mounts(&mut self, pid: u32) -> Result<Vec<Tmpfs>, NotRead> {
        match self.readers.ask(&Ask::Mounts(pid), PATIENCE)? {
            Answer::Mounts(mounts) => mounts.ok_or(NotRead::Gone),
            _ => Err(NotRead::protocol_error()),
        }
    }

    fn has_thread(&mut self, pid: u32, names: &[&str]) -> Result<bool, NotRead> {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        match self.readers.ask(&Ask::HasThread(pid, names), PATIENCE)? {
            Answer::HasThread(has) => Ok(has),
            _ => Err(NotRead::protocol_error()),
        }
    }

    fn names(&mut self, places: Vec<Place>) -> Vec<Option<String>> {
        let mut names = Vec::with_capacity(places.len());
        for of_one in places.chunk_by(|a, b| a.pid == b.pid) {
            let pid = of_one.first().map_or(0, |place| place.pid);
            let answer = self.readers.ask(&Ask::Names(pid, of_one.to_vec()), PATIENCE);
            match answer {
                Ok(Answer::Names(found)) if found.len() == of_one.len() => names.extend(found),
                _ => names.extend(of_one.iter().map(|_| None)),
            }
        }
        names
    }

    fn rest(&mut self) {
        self.near.rest();
    }
}
