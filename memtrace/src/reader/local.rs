//! A reader in the calling thread.
//!
//! /proc -> values. Each thread has its own; unused parts take no memory.

use std::fs;

use super::{
    NotRead, Reader,
    scan::Job,
    tmpfs::{self, Tmpfs},
};
use crate::{
    allocator::evidence::read,
    mm::procfs::Procfs,
    model::{
        scan::Scan,
        walk::{self, Unwound},
    },
    symbols::{Lookup, Place},
    unwind::programs::Programs,
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
}

impl Reader for Local {
    fn scan(&mut self, job: Job) -> Result<Scan, Box<Job>> {
        job.piece(&self.procfs, &mut self.evidence)
    }

    fn walk(&mut self, walk::Job { key, copy, modules }: walk::Job) -> Unwound {
        Unwound { key, walked: Some(self.programs.walk(key.pid, &copy, modules.as_deref())) }
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

    fn names(&mut self, places: Vec<Place>) -> Vec<Option<String>> {
        self.names.names(places)
    }

    fn rest(&mut self) {
        self.programs.forget_unused();
    }
}
