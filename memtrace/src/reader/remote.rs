//! A [`Reader`] that reads in reader processes.
//!
//! Calls -> requests to [`Readers`]. Scans and walks have a process each, which remembers work under way and the code of
//! processes; the rest shares one.

mod scans;
#[cfg(test)]
mod tests;
mod walks;

use std::time::Duration;

use self::{scans::Scans, walks::Walks};
use super::{
    NotRead, Reader,
    job::Job,
    mapped::{MOST, Mapped},
    pool::{Readers, session::Session},
    protocol::{Answer, Ask},
    tmpfs::Tmpfs,
};
use crate::{
    allocator::objects::Census,
    model::{
        scan::Scan,
        walk::{self, Unwound},
    },
    symbols::Place,
    units::Bytes,
};

/// A reader that takes no CPU time for so long hangs.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks reader processes.
pub struct Remote {
    readers: Readers,
    scans: Scans<Session>,
    walks: Walks<Session>,
}

impl Remote {
    /// Uses these readers.
    pub fn new(readers: Readers) -> Self {
        let session = || Session::new(readers.clone());
        Self { scans: Scans::new(session()), walks: Walks::new(session()), readers }
    }
}

impl Reader for Remote {
    fn scan(&mut self, job: Job) -> Result<Scan, Box<Job>> {
        self.scans.scan(job)
    }

    fn walk(&mut self, jobs: Vec<walk::Job>) -> Vec<Unwound> {
        self.walks.walk(jobs)
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

    fn huge_pages(&mut self, pid: u32) -> Result<Bytes, NotRead> {
        match self.readers.ask(&Ask::HugePages(pid), PATIENCE)? {
            Answer::HugePages(bytes) => bytes.ok_or(NotRead::Gone),
            _ => Err(NotRead::protocol_error()),
        }
    }

    fn mapped(&mut self, pid: u32, files: &[String]) -> Result<Vec<Mapped>, NotRead> {
        match self.readers.ask(&Ask::Mapped(pid, files.to_vec()), PATIENCE)? {
            Answer::Mapped(found) => {
                let found = found.ok_or(NotRead::Gone)?;
                Ok(found.into_iter().take(MOST).map(Mapped::bounded).collect())
            }
            _ => Err(NotRead::protocol_error()),
        }
    }

    fn objects(&mut self, pid: u32) -> Result<Census, NotRead> {
        match self.readers.ask(&Ask::Objects(pid), PATIENCE)? {
            Answer::Objects(census) => census.map(Census::bounded).ok_or(NotRead::Gone),
            _ => Err(NotRead::protocol_error()),
        }
    }

    fn names(&mut self, places: Vec<Place>) -> Vec<Option<String>> {
        let mut names = Vec::with_capacity(places.len());
        for of_one in places.chunk_by(|a, b| a.pid == b.pid) {
            let pid = of_one.first().map_or(0, |place| place.pid);
            let answer = self.readers.ask(&Ask::Names(pid, of_one.to_vec()), PATIENCE);
            match answer {
                Ok(Answer::Names(found)) if found.len() == of_one.len() => {
                    // A reader that was taken over cuts nothing.
                    names.extend(found.into_iter().map(|name| name.map(crate::text::cut)));
                }
                _ => names.extend(of_one.iter().map(|_| None)),
            }
        }
        names
    }

    fn was_there(&self, pid: u32, at: u64) -> bool {
        self.readers.was_there(pid, at)
    }

    /// Ends the processes without requests since the last call; the others free their caches themselves.
    fn rest(&mut self) {
        self.scans.rest();
        self.walks.rest();
    }
}
