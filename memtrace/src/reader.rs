//! What is read of other processes: page tables, allocators' counters, stacks, names of code, mounts.
//!
//! Requests of the model -> values. Whatever is hostile (foreign paths, foreign memory) is touched behind [`Reader`] and
//! nowhere else: paths by processes that may die ([`Remote`]), page tables and stacks by threads yet.

pub mod child;
pub mod counters;
pub mod files;
mod local;
pub mod pool;
mod process;
mod protocol;
mod remote;
mod sandbox;
pub mod scan;
pub mod tmpfs;

use std::time::Duration;

pub use self::{local::Local, remote::Remote};
use self::{scan::Job, tmpfs::Tmpfs};
use crate::{
    allocator::image::process::Budget,
    model::{
        scan::{Request, Scan},
        walk::{self, Unwound},
    },
    symbols::Place,
};

/// Why something was not read of a process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRead {
    /// It has ended, or is not ours to read.
    #[error("the process is gone, or may not be read")]
    Gone,
    /// The reader did not answer in time, and was killed.
    #[error("no answer within {} s", .0.as_secs_f32())]
    Late(Duration),
    /// The reader died: of what it read, or of somebody's signal.
    #[error("the reader died ({0})")]
    Died(String),
    /// A reader did not come back from it minutes ago.
    #[error("a reader did not come back from it before; it is tried again after 5 min")]
    LeftAlone,
    /// As many readers as there may be are stuck or at work.
    #[error("no reader is free ({stuck} stuck, {at_work} at work)")]
    TooMany {
        /// The kernel waits in them, and they cannot be killed.
        stuck: usize,
        /// Reading now.
        at_work: usize,
    },
    /// No reader could be started.
    #[error("no reader could be started ({0})")]
    NoReader(String),
}

impl NotRead {
    fn nonsense() -> Self {
        Self::Died("another answer than was asked for".to_owned())
    }
}

/// Who reads other processes. A process that is gone, or not ours to read, gives empty answers or [`NotRead`].
pub trait Reader: Send {
    /// Does one piece of a scan: gives the scan, or the job to go on with.
    ///
    /// # Errors
    /// None: the job is what is left to do.
    fn scan(&mut self, job: Job) -> Result<Scan, Box<Job>>;

    /// Walks the copy of a stack.
    fn walk(&mut self, job: walk::Job) -> Unwound;

    /// The tmpfs mounts that a process sees, the fullest first.
    ///
    /// # Errors
    /// When it is gone, or nobody could look.
    fn mounts(&mut self, pid: u32) -> Result<Vec<Tmpfs>, NotRead>;

    /// Whether a thread of the process has one of these names; false when it is gone.
    ///
    /// # Errors
    /// When nobody could look.
    fn has_thread(&mut self, pid: u32, names: &[&str]) -> Result<bool, NotRead>;

    /// The function at each place.
    fn names(&mut self, places: Vec<Place>) -> Vec<Option<String>>;

    /// Nobody asked for a while: lets go of what is not needed.
    fn rest(&mut self);
}

/// One whole look at a process, with so much for its allocators' counters and no more.
pub fn scan(reader: &mut dyn Reader, request: Request, counters: Budget) -> Scan {
    let mut job = Job::with(request, counters);
    loop {
        match reader.scan(job) {
            Ok(scan) => return scan,
            Err(unfinished) => job = *unfinished,
        }
    }
}
