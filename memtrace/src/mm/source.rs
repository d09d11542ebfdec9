//! /proc as the source of the process table.

use super::{
    process::{Resident, Seed, Source},
    procfs::{Error, Procfs, Statm},
};

/// Reads a /proc; `cgroup_of` picks the memory controller's line.
pub struct ProcSource<'a, F> {
    /// The file system.
    pub procfs: &'a Procfs,
    /// The path of a process's memory cgroup from its cgroup lines.
    pub cgroup_of: F,
}

impl<F: Fn(&[super::procfs::CgroupLine]) -> Option<Vec<u8>>> Source for ProcSource<'_, F> {
    fn seed(&self, pid: u32) -> Option<Seed> {
        let stat = self.procfs.stat(pid).ok()?;
        let statm = self.procfs.statm(pid).ok()?;
        Some(Seed {
            comm: stat.comm,
            start: since_boot(stat.start_ticks)?,
            parent: stat.parent,
            uid: self.procfs.status(pid).ok().and_then(|status| status.uid),
            cgroup: self.procfs.cgroup(pid).ok().and_then(|lines| (self.cgroup_of)(&lines)),
            // A zombie has no memory either, but it is not a kernel thread.
            is_kernel_thread: statm.size == 0 && stat.state != b'Z',
        })
    }

    fn resident(&self, pid: u32) -> Option<Resident> {
        match self.procfs.statm(pid) {
            Ok(statm) => Some(resident(statm)),
            Err(Error::Gone | Error::Io { .. } | Error::Malformed { .. }) => None,
        }
    }
}

/// Converts pages to bytes.
pub fn resident(Statm { resident, shared, size: _ }: Statm) -> Resident {
    let bytes = |pages: u64| pages.saturating_mul(rustix::param::page_size() as u64);
    Resident { bytes: bytes(resident), shared: bytes(shared) }
}

fn since_boot(ticks: u64) -> Option<u64> {
    let tick = 1_000_000_000_u64.checked_div(rustix::param::clock_ticks_per_second())?;
    Some(ticks.saturating_mul(tick))
}
