//! The model that the engine owns, and the snapshot made of it.
//!
//! Input: events and /proc. Output: [`Snapshot`]. Also used without a daemon, on /proc alone.

use std::{collections::HashMap, path::Path};

use jiff::Timestamp;
use memtrace_common::event::fault::Fault;
mod kill;

pub use self::kill::AtKill;
use crate::{
    clock,
    container::{
        cgroup::Hierarchy,
        memcg::{self, Limit},
        names::Names,
    },
    daemon::{
        charges::{self, Charges},
        exits::{Ended, Exits},
        labels::Labels,
        node,
        peaks::{
            self,
            ticks::{Now, Ticks},
        },
        scanner::{Request, Scan},
        spaces::Spaces,
        summary,
        unwinder::{Job, Unwound},
        world::{Call, Question, World},
    },
    ingest::{decode::Event, stack::StackCopy},
    mm::{
        address_space::{Geometry, HugePages},
        process::{Process, ProcessTable, Reading, Resident, Seed, Source},
        procfs::{CgroupLine, Error, Procfs},
        source::ProcSource,
    },
    snapshot::{Memory, ProcessRow, SCHEMA, Snapshot, Tracer},
    units::{Bytes, Grade, escape},
};

/// Limits change seldom; a reading is good for so long, in ns.
const LIMIT_TTL: u64 = 10_000_000_000;

/// Ends that wait to be asked for at most.
const MOST_ENDED: usize = 100_000;

/// Processes, cgroups and limits.
pub struct Model {
    procfs: Procfs,
    hierarchy: Option<Hierarchy>,
    processes: ProcessTable,
    exits: Exits,
    ended: Vec<Ended>,
    spaces: Spaces,
    limits: HashMap<Vec<u8>, (u64, Option<Limit>)>,
    charges: Charges,
    labels: Labels,
    world: World,
    ticks: Ticks,
    /// A number for each cgroup that has processes, since the last tick.
    groups: HashMap<Vec<u8>, usize>,
}

impl Model {
    /// An empty model.
    pub fn new(procfs: Procfs, hierarchy: Option<Hierarchy>) -> Self {
        Self::with(procfs, hierarchy, World::live(), geometry())
    }

    /// An empty model of a world that is written down. Its geometry is [`geometry`]'s.
    pub fn recorded(procfs: Procfs, hierarchy: Option<Hierarchy>, world: World) -> Self {
        Self::with(procfs, hierarchy, world, geometry())
    }

    /// An empty model of a world that was.
    pub fn replayed(world: World, geometry: Geometry) -> Self {
        Self::with(Procfs::new("/proc"), None, world, geometry)
    }

    fn with(procfs: Procfs, hierarchy: Option<Hierarchy>, world: World, geometry: Geometry) -> Self {
        Self {
            procfs,
            hierarchy,
            processes: ProcessTable::default(),
            exits: Exits::default(),
            ended: Vec::new(),
            spaces: Spaces::new(geometry),
            limits: HashMap::new(),
            charges: Charges::default(),
            labels: Labels::default(),
            world,
            ticks: Ticks::default(),
            groups: HashMap::new(),
        }
    }

    /// The world that it asks.
    pub fn world(&mut self) -> &mut World {
        &mut self.world
    }

    /// Names its rows by these.
    pub fn name_by(&mut self, names: Names) {
        self.labels = Labels::new(names);
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
        let outcome = self.take_over();
        self.world.called(&Call::Seed);
        outcome
    }

    fn take_over(&mut self) -> Result<(), Error> {
        let Self { procfs, hierarchy, processes, world, .. } = self;
        let mut failure = None;
        let pids = world.ask(&Question::Pids, || {
            let pids = procfs.pids().map_err(|error| failure = Some(error)).ok()?;
            Some(world.watched(pids))
        });
        let Some(pids) = pids else {
            return Err(failure.unwrap_or(Error::Malformed { file: "recording", what: "list of processes" }));
        };
        processes.seed(&pids, &source(procfs, hierarchy.as_ref(), world), now(world).1);
        Ok(())
    }

    /// Applies one event.
    pub fn apply(&mut self, event: &Event) {
        if self.world.takes(event) {
            let ended = self.exits.take(event, &self.processes);
            // Nobody asks in a replay.
            self.ended.extend(ended.filter(|_| self.ended.len() < MOST_ENDED));
            self.processes.apply(event);
            self.spaces.apply(event);
        }
    }

    /// The ends that are worth a record, since this was last asked.
    pub fn ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.ended)
    }

    /// The processes whose page tables to read next.
    pub fn due(&mut self) -> Vec<Request> {
        let resident =
            self.processes.iter().filter_map(|process| Some((process.pid, process.resident()?.bytes)));
        let due = self.spaces.due(resident, now(&self.world).1);
        self.world.called(&Call::Due);
        due
    }

    /// The processes whose mappings to read at once, for calls that nobody saw.
    pub fn astray(&mut self) -> Vec<Request> {
        let astray = self.spaces.astray();
        self.world.called(&Call::Astray);
        astray
    }

    /// Page tables of this process are read, whether it is worth it or not.
    pub fn expect(&mut self, pid: u32) -> Request {
        let resident = self.processes.get(pid).and_then(|process| process.resident());
        self.spaces.expect(pid, resident.map_or(0, |reading| reading.bytes), now(&self.world).1)
    }

    /// Takes what a read of page tables gave.
    pub fn take(&mut self, scan: Scan) {
        self.world.scanned(&scan);
        self.spaces.take(scan);
    }

    /// What to walk for a fault that was applied just now; `None` when its stack does not matter.
    pub fn job(&mut self, fault: &Fault, copy: StackCopy) -> Option<Job> {
        self.spaces.job(fault, copy)
    }

    /// Takes what came of a walk.
    pub fn unwound(&mut self, unwound: &Unwound) {
        self.world.unwound(unwound);
        self.spaces.unwound(unwound);
    }

    /// How many address spaces are followed, and the bytes that this takes.
    pub fn followed(&self) -> (usize, Bytes) {
        self.spaces.footprint()
    }

    /// Reads what moved.
    pub fn refresh(&mut self) {
        let Self { procfs, hierarchy, processes, spaces, world, exits, .. } = self;
        spaces.want_totals().into_iter().for_each(|pid| processes.mark(pid));
        let at = now(world).1;
        processes.refresh(&source(procfs, hierarchy.as_ref(), world), at);
        for process in processes.iter() {
            if let Some(Reading { bytes, shared, .. }) = process.resident().filter(|reading| reading.at == at)
            {
                spaces.close(process.pid, Resident { bytes, shared });
            }
        }
        exits.look(processes);
        world.called(&Call::Refresh);
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
        let outcome = self.take_over();
        self.world.called(&Call::Resync);
        outcome
    }

    /// The node now.
    pub fn snapshot(&mut self, tracer: Option<Tracer>) -> Snapshot {
        let Self {
            procfs,
            hierarchy,
            processes,
            spaces,
            limits,
            charges,
            labels,
            world,
            ticks,
            groups,
            exits: _,
            ended: _,
        } = self;
        let (time, now) = now(world);
        let both = Now { time, ktime: now };
        limits.retain(|_, (read, _)| read.saturating_add(LIMIT_TTL) > now);
        let mut limit_of = |path: &[u8]| {
            if let Some((_, limit)) = limits.get(path) {
                return limit.clone();
            }
            let limit =
                world.ask(&Question::Limit(path), || memcg::effective_limit(hierarchy.as_ref()?, path));
            limits.insert(path.to_vec(), (now, limit.clone()));
            limit
        };
        let rows = processes
            .iter()
            .map(|process| {
                let limit = process.cgroup.as_deref().and_then(&mut limit_of);
                let total = process.resident().map(|reading| Bytes(reading.bytes)).unwrap_or_default();
                let memory =
                    spaces.arenas(process.pid, total, now).map(|arenas| summary::memory(&arenas, now));
                let mark = ticks.is_fresh(process).then(|| high_water(world, procfs, process.pid)).flatten();
                let peak = ticks.process(process, mark, spaces.estimate(process.pid), both);
                ProcessRow { peak, ..row(process, limit, memory, time, now) }
            })
            .collect::<Vec<_>>();
        let usage =
            |path: &[u8]| world.ask(&Question::Usage(path), || memcg::usage(hierarchy.as_ref()?, path));
        let mut containers = summary::containers(processes, &rows, usage);
        let above = charges.groups(world, hierarchy.as_ref(), processes, now);
        containers.extend(charges::group_rows(&above, &containers));
        let watermark = |path: &[u8]| {
            world.ask(&Question::Watermark(path), || memcg::watermark(hierarchy.as_ref()?, path))
        };
        let paths: HashMap<String, &[u8]> = processes
            .iter()
            .filter_map(|process| process.cgroup.as_deref())
            .chain(above.iter().map(Vec::as_slice))
            .map(|path| (escape(path), path))
            .collect();
        for group in containers.iter_mut().filter(|row| row.is_group) {
            let path = paths.get(&group.cgroup).copied();
            group.usage_bytes = path.and_then(usage);
            group.limit = path.and_then(&mut limit_of);
        }
        charges.fill(world, hierarchy.as_ref(), &paths, &mut containers, now);
        labels.fill(&paths, &mut containers);
        let mut parts = peaks::ticks::parts(&rows);
        for container in &mut containers {
            let path = paths.get(&container.cgroup).copied();
            let mark = path.and_then(watermark).map(|mark| mark.0);
            let rise = path.and_then(|path| spaces.tide(*groups.get(path)?));
            let parts = parts.remove(container.cgroup.as_str()).unwrap_or_default();
            container.peak = ticks.container(container, mark, rise, parts, both);
        }
        groups.clear();
        for path in processes.iter().filter_map(|process| process.cgroup.as_ref()) {
            let next = groups.len();
            groups.entry(path.clone()).or_insert(next);
        }
        let group = |process: &Process| Some((process.pid, *groups.get(process.cgroup.as_ref()?)?));
        spaces.begin_tick(groups.len(), processes.iter().filter_map(group));
        ticks.end(now, |pid| processes.get(pid).is_some(), &containers);
        let node = world.ask(&Question::Node, || node::read(procfs.root()));
        let mut snapshot = Snapshot { schema: SCHEMA, time, tracer, processes: rows, containers, node };
        world.called(&Call::Snapshot(snapshot.tracer.clone().map(Box::new)));
        snapshot.sort();
        snapshot
    }
}

/// The most that was ever resident.
fn high_water(world: &World, procfs: &Procfs, pid: u32) -> Option<u64> {
    world.ask(&Question::HighWater(pid), || procfs.status(pid).ok()?.rss_peak_kib?.checked_mul(1024))
}

/// Of the day, and ns since boot.
fn now(world: &World) -> (Timestamp, u64) {
    world.ask(&Question::Now, || (Timestamp::now(), clock::ktime()))
}

/// A source whose answers are the world's.
struct Asked<'a, S> {
    source: S,
    world: &'a World,
}

impl<S: Source> Source for Asked<'_, S> {
    fn seed(&self, pid: u32) -> Option<Seed> {
        self.world.ask(&Question::Seed(pid), || self.source.seed(pid))
    }

    fn resident(&self, pid: u32) -> Option<Resident> {
        self.world.ask(&Question::Resident(pid), || self.source.resident(pid))
    }
}

fn source<'a>(procfs: &'a Procfs, hierarchy: Option<&'a Hierarchy>, world: &'a World) -> impl Source + 'a {
    let cgroup_of = move |lines: &[CgroupLine]| {
        let hierarchy = hierarchy?;
        Some(hierarchy.absolute(hierarchy.path_of(lines)?))
    };
    Asked { source: ProcSource { procfs, cgroup_of }, world }
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
pub fn geometry() -> Geometry {
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
