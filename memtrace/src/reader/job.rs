//! A scan under way, as the scanner holds it.
//!
//! A request -> a job that any reader can begin and the same one can continue. It keeps the request, because a reader
//! process may die and take its work with it.

use super::{
    pool::quarantine::Whom,
    scan::{TRIES, Work},
};
use crate::{
    allocator::image::process::Budget,
    model::scan::{Depth, Request},
};

/// A process to read.
pub struct Job {
    pub(super) request: Request,
    /// Budget for the allocators' counters.
    pub(super) counters: Budget,
    /// The most tries to read them.
    pub(super) tries: u32,
    pub(super) progress: Progress,
    /// The process and its cgroup, as they were found before a reader process began.
    pub(super) whom: Option<Whom>,
    /// How often a reader process died during the scan.
    pub(super) deaths: u32,
}

/// How far it is.
pub(super) enum Progress {
    Asked,
    /// Begun by this process.
    Near(Box<Work>),
    /// Begun by a reader process.
    Far(Ticket),
}

/// The place of a scan in a reader process.
#[derive(Clone, Copy)]
pub(super) struct Ticket {
    /// The number of the process in its session.
    pub(super) session: u64,
    /// The number of the scan in the process.
    pub(super) number: u64,
    /// Whether it waits for regions and evidence.
    pub(super) wants_detail: bool,
}

impl Job {
    /// A job for this request.
    pub fn new(request: Request) -> Self {
        Self { tries: TRIES, ..Self::with(request, Budget::DEFAULT) }
    }

    /// A job with this budget for the allocators' counters, which are read once.
    pub const fn with(request: Request, counters: Budget) -> Self {
        Self { request, counters, tries: 1, progress: Progress::Asked, whom: None, deaths: 0 }
    }

    /// Id of the process.
    pub const fn pid(&self) -> u32 {
        self.request.pid
    }

    /// Whether it reads mappings without their pages.
    pub const fn is_cheap(&self) -> bool {
        matches!(self.request.depth, Depth::Regions)
    }

    /// The same job, begun by a reader process.
    #[cfg(test)]
    pub fn begun(self) -> Self {
        Self { progress: Progress::Far(Ticket { session: 0, number: 1, wants_detail: false }), ..self }
    }

    /// Whether a part of it is done, which takes memory until it is complete.
    pub const fn is_begun(&self) -> bool {
        !matches!(self.progress, Progress::Asked)
    }
}
