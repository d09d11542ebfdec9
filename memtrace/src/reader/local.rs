//! A reader in the calling thread.
//!
//! /proc -> values. Each thread has its own; unused parts take no memory.

use std::fs;

use super::{
    NotRead, Reader,
    job::{Job, Progress},
    mapped::{self, Mapped},
    objects,
    scan::{Detail, Plan, Work},
    tmpfs::{self, Tmpfs},
};
use crate::{
    allocator::{evidence::read, objects::Census},
    mm::{procfs::Procfs, smaps},
    model::{
        scan::{Depth, Scan},
        walk::{self, Unwound},
    },
    symbols::{Lookup, Place},
    units::Bytes,
    unwind::{Copy, Module, programs::Programs, walk::Walked},
};

/// The reader that runs in this process.
pub struct Local {
    procfs: Procfs,
    evidence: read::Reader,
    programs: Programs,
    names: Lookup,
}

impl Local {
    /// A reader of the processes of this /proc.
    pub fn new(procfs: Procfs) -> Self {
        Self {
            evidence: read::Reader::new(procfs.clone()),
            programs: Programs::new(procfs.clone()),
            names: Lookup::new(procfs.root()),
            procfs,
        }
    }

    /// Does one piece of a scan. Returns the scan, or the work to continue with.
    pub(super) fn piece(&mut self, work: Work) -> Result<Scan, Box<Work>> {
        work.piece(&self.procfs, &mut self.evidence)
    }

    /// Adds to evidence from elsewhere what only the files of its programs contain.
    pub(super) fn complete(&mut self, pid: u32, detail: Detail) -> Detail {
        let Detail { regions, evidence } = detail;
        let evidence = evidence.map(|evidence| self.evidence.complete(pid, evidence, &regions));
        Detail { regions, evidence }
    }

    /// Walks a stack of a process.
    pub(super) fn walked(&mut self, pid: u32, copy: &Copy, modules: Option<&[Module]>) -> Walked {
        self.programs.walk(pid, copy, modules)
    }
}

impl Reader for Local {
    fn scan(&mut self, mut job: Job) -> Result<Scan, Box<Job>> {
        let work = match job.progress {
            Progress::Near(work) => *work,
            Progress::Asked | Progress::Far(_) => {
                let depth = std::mem::replace(&mut job.request.depth, Depth::Mappings);
                Work::new(job.pid(), Plan::from(depth), job.request.room, job.counters, job.tries)
            }
        };
        self.piece(work).map_err(|work| Box::new(Job { progress: Progress::Near(work), ..job }))
    }

    fn walk(&mut self, jobs: Vec<walk::Job>) -> Vec<Unwound> {
        let walk = |walk::Job { key, copy, modules }| {
            let walked = self.walked(key.pid, &copy, modules.as_deref());
            Unwound { key, walked: Some(walked) }
        };
        jobs.into_iter().map(walk).collect()
    }

    fn mounts(&mut self, pid: u32) -> Result<Vec<Tmpfs>, NotRead> {
        tmpfs::seen(self.procfs.root(), pid).ok_or(NotRead::Gone)
    }

    fn has_thread(&mut self, pid: u32, names: &[&str]) -> Result<bool, NotRead> {
        let Ok(tasks) = fs::read_dir(self.procfs.root().join(format!("{pid}/task"))) else {
            return Ok(false);
        };
        let comms = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
        Ok(comms.into_iter().any(|comm| names.contains(&comm.trim_end())))
    }

    fn huge_pages(&mut self, pid: u32) -> Result<Bytes, NotRead> {
        smaps::read_rollup(&self.procfs, pid).ok().and_then(|sums| sums.anon_huge).ok_or(NotRead::Gone)
    }

    fn mapped(&mut self, pid: u32, files: &[String]) -> Result<Vec<Mapped>, NotRead> {
        mapped::mapped(&self.procfs, pid, files).ok_or(NotRead::Gone)
    }

    fn objects(&mut self, pid: u32) -> Result<Census, NotRead> {
        objects::census(&self.procfs, &mut self.evidence, pid)
    }

    fn names(&mut self, places: Vec<Place>) -> Vec<Option<String>> {
        self.names.names(places)
    }

    fn was_there(&self, pid: u32, at: u64) -> bool {
        super::was_there(&self.procfs, pid, at)
    }

    fn rest(&mut self) {
        self.programs.forget_unused();
    }
}
