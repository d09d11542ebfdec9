//! The model that the engine owns, and the snapshot made of it.
//!
//! Input: events and /proc. Output: [`Snapshot`]. Also used without a daemon, on /proc alone.

use std::{collections::HashMap, path::Path};

use jiff::Timestamp;

use crate::{
    clock,
    container::{
        cgroup::Hierarchy,
        memcg::{self, Limit},
    },
    daemon::{scanner::Scan, spaces::Spaces, summary},
    ingest::decode::Event,
    mm::{
        address_space::{Geometry, HugePages},
        process::{Process, ProcessTable},
        procfs::{CgroupLine, Error, Procfs},
        source::ProcSource,
    },
    snapshot::{Memory, Node, ProcessRow, SCHEMA, Snapshot, Tracer},
    units::{Bytes, Grade, escape},
};

/// Limits change seldom; a reading is good for so long, in ns.
const LIMIT_TTL: u64 = 10_000_000_000;

/// Processes, cgroups and limits.
pub struct Model {
    procfs: Procfs,
    hierarchy: Option<Hierarchy>,
    processes: ProcessTable,
    spaces: Spaces,
    limits: HashMap<Vec<u8>, (u64, Option<Limit>)>,
}

impl Model {
    /// An empty model.
    pub fn new(procfs: Procfs, hierarchy: Option<Hierarchy>) -> Self {
        Self {
            procfs,
            hierarchy,
            processes: ProcessTable::default(),
            spaces: Spaces::new(geometry()),
            limits: HashMap::new(),
        }
    }

    /// A model of the /proc and the cgroups of this host.
    pub fn of_host(proc: &Path) -> Self {
        Self::new(Procfs::new(proc), Hierarchy::find(proc).ok().flatten())
    }

    /// Takes over the processes that there are.
    ///
    /// # Errors
    /// When /proc cannot be listed.
    pub fn seed(&mut self) -> Result<(), Error> {
        let pids = self.procfs.pids()?;
        let Self { procfs, hierarchy, processes, .. } = self;
        processes.seed(&pids, &source(procfs, hierarchy.as_ref()), clock::ktime());
        Ok(())
    }

    /// Applies one event.
    pub fn apply(&mut self, event: &Event) {
        self.processes.apply(event);
        self.spaces.apply(event);
    }

    /// The processes whose page tables to read next.
    pub fn due(&mut self) -> Vec<u32> {
        let resident =
            self.processes.iter().filter_map(|process| Some((process.pid, process.resident()?.bytes)));
        self.spaces.due(resident)
    }

    /// Takes what a read of page tables gave.
    pub fn take(&mut self, scan: Scan) {
        self.spaces.take(scan);
    }

    /// How many address spaces are followed, and the bytes that this takes.
    pub fn followed(&self) -> (usize, Bytes) {
        self.spaces.footprint()
    }

    /// Reads what moved.
    pub fn refresh(&mut self) {
        let Self { procfs, hierarchy, processes, .. } = self;
        processes.refresh(&source(procfs, hierarchy.as_ref()), clock::ktime());
    }

    /// Reads every process again, whether something happened to it or not.
    pub fn touch_all(&mut self) {
        self.processes.mark_all();
        self.refresh();
    }

    /// Looks at /proc as at the start, because events were lost.
    ///
    /// # Errors
    /// When /proc cannot be listed.
    pub fn resync(&mut self) -> Result<(), Error> {
        self.processes.mark_all();
        self.spaces.mark_stale();
        self.seed()
    }

    /// The node now.
    pub fn snapshot(&mut self, tracer: Option<Tracer>) -> Snapshot {
        let (time, now) = (Timestamp::now(), clock::ktime());
        let Self { procfs: _, hierarchy, processes, spaces, limits } = self;
        limits.retain(|_, (read, _)| read.saturating_add(LIMIT_TTL) > now);
        let rows = processes
            .iter()
            .map(|process| {
                let limit =
                    process.cgroup.as_deref().zip(hierarchy.as_ref()).and_then(|(path, hierarchy)| {
                        if let Some((_, limit)) = limits.get(path) {
                            return limit.clone();
                        }
                        let limit = memcg::effective_limit(hierarchy, path);
                        limits.insert(path.to_vec(), (now, limit.clone()));
                        limit
                    });
                let total = process.resident().map(|reading| Bytes(reading.bytes)).unwrap_or_default();
                let memory =
                    spaces.arenas(process.pid, total, now).map(|arenas| summary::memory(&arenas, now));
                row(process, limit, memory, time, now)
            })
            .collect::<Vec<_>>();
        let usage = |path: &[u8]| memcg::usage(hierarchy.as_ref()?, path);
        let containers = summary::containers(processes, &rows, usage);
        let mut snapshot =
            Snapshot { schema: SCHEMA, time, tracer, processes: rows, containers, node: Node::default() };
        snapshot.sort();
        snapshot
    }
}

fn source<'a>(
    procfs: &'a Procfs,
    hierarchy: Option<&'a Hierarchy>,
) -> ProcSource<'a, impl Fn(&[CgroupLine]) -> Option<Vec<u8>> + 'a> {
    ProcSource { procfs, cgroup_of: move |lines: &[CgroupLine]| Some(hierarchy?.path_of(lines)?.to_vec()) }
}

fn row(
    process: &Process,
    limit: Option<Limit>,
    memory: Option<Memory>,
    time: Timestamp,
    now: u64,
) -> ProcessRow {
    let seconds = |nanoseconds: u64| nanoseconds as f64 / 1e9;
    let (resident, growth) = (process.resident(), process.growth(now));
    ProcessRow {
        pid: process.pid,
        comm: process.comm.clone(),
        uid: process.uid,
        started: process.start.map(|start| clock::at(time, now, start)),
        cgroup: process.cgroup.as_deref().map(escape),
        rss_bytes: resident.map(|reading| Bytes(reading.bytes)),
        rss_grade: Grade::Read,
        rss_age_seconds: resident.map(|reading| seconds(now.saturating_sub(reading.at))),
        growth_bytes_per_second: growth.map(|growth| growth.bytes as f64 / seconds(growth.over)),
        growth_window_seconds: growth.map(|growth| seconds(growth.over)),
        limit,
        memory,
        peak: None,
    }
}

/// Sizes of this machine; a kernel without transparent huge pages has none.
fn geometry() -> Geometry {
    let page = rustix::param::page_size() as u64;
    let thp = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    let thp = match thp {
        mode if mode.contains("[always]") => HugePages::Always,
        mode if mode.contains("[madvise]") => HugePages::Madvise,
        _ => HugePages::Never,
    };
    let huge = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(2 << 20);
    Geometry::new(page, huge, thp).unwrap_or_default()
}
