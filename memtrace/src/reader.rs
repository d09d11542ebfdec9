//! Reads of other processes: page tables, allocators' counters, stacks, symbol names, mounts.
//!
//! Requests of the model -> values. Untrusted input (paths and memory of other processes) is accessed only behind
//! [`Reader`], so that a reader can become a separate process that may crash.

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

/// Reads other processes. A process that is gone or may not be read gives empty results, never an error.
pub trait Reader: Send {
    /// Does one piece of a scan. Returns the finished scan, or the job to continue with.
    ///
    /// # Errors
    /// Not an error: the job is the remaining work.
    fn scan(&mut self, job: Job) -> Result<Scan, Box<Job>>;

    /// Walks the copy of a stack.
    fn walk(&mut self, job: walk::Job) -> Unwound;

    /// The tmpfs mounts in a process's mount namespace, the fullest first; `None` when it is gone.
    fn mounts(&mut self, pid: u32) -> Option<Vec<Tmpfs>>;

    /// Whether a thread of the process has one of these names.
    fn has_thread(&mut self, pid: u32, names: &[&str]) -> bool;

    /// The function at each place.
    fn names(&mut self, places: Vec<Place>) -> Vec<Option<String>>;

    /// Called after a time without requests: frees caches.
    fn rest(&mut self);
}

/// Does a whole scan of a process, with this budget for its allocators' counters.
pub fn scan(reader: &mut dyn Reader, request: Request, counters: Budget) -> Scan {
    let mut job = Job::with(request, counters);
    loop {
        match reader.scan(job) {
            Ok(scan) => return scan,
            Err(unfinished) => job = *unfinished,
        }
    }
}
