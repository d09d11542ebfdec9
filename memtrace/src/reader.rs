//! Reads of other processes: page tables, allocators' counters, stacks, symbol names, mounts.
//!
//! Requests of the model -> values. Untrusted input (paths and memory of other processes) is accessed only behind
//! [`Reader`]. The daemon uses [`Remote`], which reads in child processes that may hang or crash; they use [`Local`].

pub mod child;
pub mod counters;
pub mod job;
mod local;
pub mod mapped;
#[doc(hidden)]
pub mod messages;
mod objects;
pub mod pool;
mod process;
mod protocol;
mod remote;
mod sandbox;
mod scan;
pub mod stacks;
pub mod tmpfs;
mod wire;

use std::time::Duration;

use self::{job::Job, mapped::Mapped, tmpfs::Tmpfs};
pub use self::{local::Local, remote::Remote};
use crate::{
    allocator::{image::process::Budget, objects::Census},
    mm::procfs::Procfs,
    model::{
        scan::{Request, Scan},
        walk::{self, Unwound},
    },
    symbols::Place,
    units::Bytes,
};

/// Why a process was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRead {
    /// It has ended, or may not be read.
    #[error("the process is gone, or may not be read")]
    Gone,
    /// The reader hung for so long, and was killed.
    #[error("no answer within {} s", .0.as_secs_f32())]
    Late(Duration),
    /// The reader took so much CPU time for one request, and was killed.
    #[error("no answer within {} s of CPU time", .0.as_secs_f32())]
    Busy(Duration),
    /// The reader crashed or was killed.
    #[error("the reader process died ({0})")]
    Died(String),
    /// The process is quarantined: a reader hung or died on it a few minutes ago.
    #[error("a reader process hung or died on it; it is not read again for 5 min")]
    Quarantined,
    /// The same for several processes of its cgroup.
    #[error("reader processes hung or died on its cgroup; it is not read again for 5 min")]
    GroupQuarantined,
    /// Its data does not fit in a message.
    #[error("it has too many mappings")]
    TooLarge,
    /// The bound on reader processes is reached.
    #[error("no reader process is free ({stuck} stuck, {busy} busy)")]
    TooMany {
        /// Waiting in the kernel, so that they cannot be killed.
        stuck: usize,
        /// Answering other questions.
        busy: usize,
    },
    /// No reader could be started.
    #[error("failed to start a reader process ({0})")]
    NoReader(String),
}

impl NotRead {
    fn protocol_error() -> Self {
        Self::Died("it sent an answer of another kind".to_owned())
    }
}

/// Reads other processes. A process that is gone or may not be read gives empty results or [`NotRead`].
pub trait Reader: Send {
    /// Does one piece of a scan. Returns the finished scan, or the job to continue with.
    ///
    /// # Errors
    /// Not an error: the job is the remaining work.
    fn scan(&mut self, job: Job) -> Result<Scan, Box<Job>>;

    /// Walks copies of stacks: one result for each, in order.
    fn walk(&mut self, jobs: Vec<walk::Job>) -> Vec<Unwound>;

    /// The tmpfs mounts in a process's mount namespace, the fullest first.
    ///
    /// # Errors
    /// When it is gone, or could not be read.
    fn mounts(&mut self, pid: u32) -> Result<Vec<Tmpfs>, NotRead>;

    /// Whether a thread of the process has one of these names; false when it is gone.
    ///
    /// # Errors
    /// When nobody could look.
    fn has_thread(&mut self, pid: u32, names: &[&str]) -> Result<bool, NotRead>;

    /// The resident memory of the process in anonymous huge pages, which are filled where the program may have touched a
    /// few bytes only.
    ///
    /// # Errors
    /// When it is gone, or could not be read.
    fn huge_pages(&mut self, _pid: u32) -> Result<Bytes, NotRead> {
        Err(NotRead::Gone)
    }

    /// Where the process has mapped the code of these files, which are named as in frames of stacks.
    ///
    /// # Errors
    /// When it is gone, or could not be read.
    fn mapped(&mut self, _pid: u32, _files: &[String]) -> Result<Vec<Mapped>, NotRead> {
        Err(NotRead::Gone)
    }

    /// What fills its heaps, by type.
    ///
    /// # Errors
    /// When it is gone, or could not be read.
    fn objects(&mut self, _pid: u32) -> Result<Census, NotRead> {
        Err(NotRead::Gone)
    }

    /// The function at each place.
    fn names(&mut self, places: Vec<Place>) -> Vec<Option<String>>;

    /// Whether the process with this id was there at this time, in ns since boot. A pid is used again, but not at one time.
    /// Reads a file of the kernel that never waits.
    fn was_there(&self, pid: u32, at: u64) -> bool;

    /// Called from time to time: frees what was not used since the last call.
    fn rest(&mut self);
}

/// [`Reader::was_there`], from this /proc.
fn was_there(procfs: &Procfs, pid: u32, at: u64) -> bool {
    let tick = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
    procfs.stat(pid).is_ok_and(|stat| stat.start_ticks.saturating_mul(tick) <= at)
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

#[cfg(test)]
mod tests {
    use super::{Procfs, was_there};
    use crate::clock;

    #[test]
    fn a_process_that_started_later_is_another_one_with_the_pid() {
        let (procfs, own) = (Procfs::new("/proc"), std::process::id());
        assert!(was_there(&procfs, own, clock::ktime()));
        assert!(!was_there(&procfs, own, 0));
        assert!(!was_there(&procfs, u32::MAX, clock::ktime()), "gone");
    }
}
