//! What is read of other processes: page tables, allocators' counters, stacks, names of code, mounts.
//!
//! Requests of the model -> values. Whatever is hostile (foreign paths, foreign memory) is touched behind [`Reader`] and
//! nowhere else, so that threads of the daemon can become processes that may die.

pub mod counters;
mod local;
pub mod scan;
pub mod tmpfs;

pub use self::local::Local;
use self::{scan::Job, tmpfs::Tmpfs};
use crate::{
    allocator::image::process::Budget,
    model::{
        scan::{Request, Scan},
        walk::{self, Unwound},
    },
    symbols::Place,
};

/// Who reads other processes. A process that is gone, or not ours to read, gives empty answers and never an error.
pub trait Reader: Send {
    /// Does one piece of a scan: gives the scan, or the job to go on with.
    ///
    /// # Errors
    /// None: the job is what is left to do.
    fn scan(&mut self, job: Job) -> Result<Scan, Box<Job>>;

    /// Walks the copy of a stack.
    fn walk(&mut self, job: walk::Job) -> Unwound;

    /// The tmpfs mounts that a process sees, the fullest first; `None` when it is gone.
    fn mounts(&mut self, pid: u32) -> Option<Vec<Tmpfs>>;

    /// Whether a thread of the process has one of these names.
    fn has_thread(&mut self, pid: u32, names: &[&str]) -> bool;

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
