//! The model that the engine owns, and the snapshot made of it.
//!
//! Input: events and /proc. Output: a snapshot. It also works without a daemon, on /proc alone.

pub mod arenas;
pub mod budget;
pub mod cgroup_rows;
pub mod charges;
pub mod exits;
pub mod groups;
pub mod journal;
pub mod kill;
pub mod labels;
pub mod limits;
pub mod node;
pub mod peaks;
pub mod replay;
pub mod rows;
pub mod scan;
pub mod spaces;
mod tick;
pub mod walk;

use std::{collections::HashMap, path::Path, sync::Arc};

use jiff::Timestamp;
use memtrace_common::event::fault::Fault;

pub use self::kill::AtKill;
use self::tick::Shown;
use crate::{
    cgroup::{hierarchy::Hierarchy, memcg::Gauges},
    clock,
    container::names::Names,
    ingest::{decode::Event, stack::StackCopy},
    mm::{
        address_space::{Geometry, HugePages},
        process::{News, ProcessTable, Reading, Resident, Seed, Source},
        procfs::{CgroupLine, Error, Procfs},
        source::ProcSource,
    },
    model::{
        budget::Budget,
        cgroup_rows::CgroupRows,
        charges::Charges,
        exits::{Ended, Exits},
        groups::Groups,
        journal::{Call, Journal, Question},
        labels::Labels,
        limits::Limits,
        peaks::ticks::Ticks,
        scan::{Request, Scan},
        spaces::Spaces,
        walk::{Job, Unwound},
    },
    snapshot::{MemoryUse, Snapshot},
    units::Bytes,
};

/// The most cgroup files that are kept open: the default limit of a process is 1,024 files.
const OPEN_FILES: usize = 640;

/// The most exits that wait to be taken.
const MOST_ENDED: usize = 10_000;

/// A snapshot and when it was taken, ns since boot.
#[derive(Clone, Debug)]
pub struct Latest {
    /// The snapshot.
    pub snapshot: Arc<Snapshot>,
    /// When.
    pub at: u64,
}

/// Processes, cgroups and limits.
pub struct Model {
    procfs: Procfs,
    hierarchy: Option<Hierarchy>,
    processes: ProcessTable,
    exits: Exits,
    ended: Vec<Ended>,
    spaces: Spaces,
    limits: Limits,
    charges: Charges,
    labels: Labels,
    journal: Journal,
    ticks: Ticks,
    groups: Groups,
    gauges: Gauges,
    /// The rows of the last tick, reused for processes without changes.
    rows: HashMap<u32, Shown>,
    /// The processes that were read since the last tick.
    fresh: Vec<u32>,
    cgroup_rows: CgroupRows,
}

impl Model {
    /// An empty model.
    pub fn new(procfs: Procfs, hierarchy: Option<Hierarchy>) -> Self {
        Self::with(procfs, hierarchy, Journal::live(), geometry())
    }

    /// An empty model that records its questions. Its geometry is that of [`geometry`].
    pub fn recorded(procfs: Procfs, hierarchy: Option<Hierarchy>, journal: Journal) -> Self {
        Self::with(procfs, hierarchy, journal, geometry())
    }

    /// An empty model whose questions are answered from a recording.
    pub fn replayed(journal: Journal, geometry: Geometry) -> Self {
        Self::with(Procfs::new("/proc"), None, journal, geometry)
    }

    fn with(procfs: Procfs, hierarchy: Option<Hierarchy>, journal: Journal, geometry: Geometry) -> Self {
        Self {
            procfs,
            hierarchy,
            processes: ProcessTable::default(),
            exits: Exits::default(),
            ended: Vec::new(),
            spaces: Spaces::new(geometry, Budget::default()),
            limits: Limits::default(),
            charges: Charges::default(),
            labels: Labels::default(),
            journal,
            ticks: Ticks::default(),
            groups: Groups::default(),
            gauges: Gauges::new(OPEN_FILES),
            rows: HashMap::new(),
            fresh: Vec::new(),
            cgroup_rows: CgroupRows::default(),
        }
    }

    /// The journal of its questions.
    pub fn journal(&mut self) -> &mut Journal {
        &mut self.journal
    }

    /// Sets the source of the names in its rows.
    pub fn name_by(&mut self, names: Names) {
        self.labels = Labels::new(names);
    }

    /// A model of the /proc and the cgroups of this host.
    pub fn of_host(proc: &Path) -> Self {
        Self::new(Procfs::new(proc), Hierarchy::find(proc).ok().flatten())
    }

    /// Adds the existing processes.
    ///
    /// # Errors
    /// When /proc cannot be listed.
    pub fn seed(&mut self) -> Result<(), Error> {
        let outcome = self.take_over();
        self.journal.called(&Call::Seed);
        outcome
    }

    fn take_over(&mut self) -> Result<(), Error> {
        let Self { procfs, hierarchy, processes, journal, .. } = self;
        let mut failure = None;
        let pids = journal.ask(&Question::Pids, || {
            let pids = procfs.pids().map_err(|error| failure = Some(error)).ok()?;
            Some(journal.watched(pids))
        });
        let Some(pids) = pids else {
            return Err(failure.unwrap_or(Error::Malformed { file: "recording", what: "list of processes" }));
        };
        processes.seed(&pids, &source(procfs, hierarchy.as_ref(), journal), now(journal).1);
        self.take_news();
        Ok(())
    }

    /// Applies one event.
    pub fn apply(&mut self, event: &Event) {
        if self.journal.takes(event) {
            let ended = self.exits.take(event, &self.processes);
            // Bounded, because a replay does not take them.
            self.ended.extend(ended.filter(|_| self.ended.len() < MOST_ENDED));
            self.processes.apply(event);
            self.spaces.apply(event);
        }
    }

    /// The exits since the last call that are worth a record.
    pub fn ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.ended)
    }

    /// The processes whose page tables to read next.
    pub fn due(&mut self) -> Vec<Request> {
        let due = self.spaces.due(now(&self.journal).1);
        self.journal.called(&Call::Due);
        due
    }

    /// The processes whose mappings must be read immediately, because of unseen calls.
    pub fn astray(&mut self) -> Vec<Request> {
        let astray = self.spaces.astray();
        self.journal.called(&Call::Astray);
        astray
    }

    /// Requests a scan of this process, whether it is worth one or not, and without others at the same time.
    pub fn expect(&mut self, pid: u32) -> Request {
        let resident = self.processes.get(pid).and_then(|process| process.resident());
        self.spaces.expect_alone(pid, resident.map_or(0, |reading| reading.bytes), now(&self.journal).1)
    }

    /// Takes the result of a scan.
    pub fn take(&mut self, scan: Scan) {
        self.journal.scanned(&scan);
        self.spaces.take(scan);
    }

    /// The unwinding job for a fault that was just applied; `None` when its stack is not needed.
    pub fn job(&mut self, fault: &Fault, copy: StackCopy) -> Option<Job> {
        self.spaces.job(fault, copy)
    }

    /// Takes the result of a walk.
    pub fn unwound(&mut self, unwound: &Unwound) {
        self.journal.unwound(unwound);
        self.spaces.unwound(unwound);
    }

    /// The number of tracked address spaces, and the memory that they use.
    pub fn followed(&self) -> (usize, Bytes) {
        self.spaces.footprint()
    }

    /// Keeps within this memory budget; the default is [`Budget::DEFAULT`].
    pub fn keep_within(&mut self, budget: Budget) {
        self.spaces.keep_within(budget);
    }

    /// The memory budget, and what it is used for.
    pub fn memory(&self) -> MemoryUse {
        self.spaces.memory()
    }

    /// Reads the processes that changed.
    pub fn refresh(&mut self) {
        let Self { procfs, hierarchy, processes, spaces, journal, .. } = self;
        processes.mark(spaces.want_totals());
        let at = now(journal).1;
        processes.refresh(&source(procfs, hierarchy.as_ref(), journal), at);
        self.take_news();
        self.journal.called(&Call::Refresh);
    }

    /// Adjusts the estimates to the new readings, and forgets ended processes.
    fn take_news(&mut self) {
        let Self { processes, spaces, ticks, groups, rows, exits, fresh, .. } = self;
        let News { read, gone, has_moved } = processes.news();
        for process in read.iter().filter_map(|pid| processes.get(*pid)) {
            if let Some(Reading { bytes, shared, .. }) = process.resident() {
                spaces.close(process.pid, Resident { bytes, shared });
            }
        }
        let is_there = |pid: u32| processes.get(pid).is_some();
        if has_moved || !gone.is_empty() {
            exits.look(processes);
        }
        if !gone.is_empty() {
            ticks.forget(is_there);
        }
        for pid in gone.into_iter().filter(|pid| !is_there(*pid)) {
            spaces.forget(pid);
            if let Some(shown) = rows.remove(&pid) {
                groups.leave(shown.group);
            }
        }
        fresh.extend(read);
    }

    /// Reads every process again, whether it had events or not.
    pub fn touch_all(&mut self) {
        self.processes.mark_all();
        self.refresh();
    }

    /// Reads /proc as at the start, because events were lost.
    ///
    /// # Errors
    /// When /proc cannot be listed.
    pub fn resync(&mut self) -> Result<(), Error> {
        self.processes.mark_all();
        self.spaces.mark_stale();
        let outcome = self.take_over();
        self.journal.called(&Call::Resync);
        outcome
    }
}

/// The wall-clock time, and ns since boot.
fn now(journal: &Journal) -> (Timestamp, u64) {
    journal.ask(&Question::Now, || (Timestamp::now(), clock::ktime()))
}

/// A source whose answers go through the journal.
struct Asked<'a, S> {
    source: S,
    journal: &'a Journal,
}

impl<S: Source> Source for Asked<'_, S> {
    fn seed(&self, pid: u32) -> Option<Seed> {
        self.journal.ask(&Question::Seed(pid), || self.source.seed(pid))
    }

    fn resident(&self, pid: u32) -> Option<Resident> {
        self.journal.ask(&Question::Resident(pid), || self.source.resident(pid))
    }
}

fn source<'a>(
    procfs: &'a Procfs,
    hierarchy: Option<&'a Hierarchy>,
    journal: &'a Journal,
) -> impl Source + 'a {
    let cgroup_of = move |lines: &[CgroupLine]| {
        let hierarchy = hierarchy?;
        Some(hierarchy.absolute(hierarchy.path_of(lines)?))
    };
    Asked { source: ProcSource { procfs, cgroup_of }, journal }
}

/// Page sizes of this machine; without transparent huge pages the mode is `Never`.
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

#[cfg(test)]
mod tests {
    use super::{Model, Path};

    /// The first snapshot is made before the first scans are chosen.
    #[test]
    fn who_is_there_at_the_start_is_scanned_first() {
        let mut model = Model::of_host(Path::new("/proc"));
        model.seed().unwrap();
        let own = std::process::id();
        assert!(model.snapshot(None).rows().any(|row| row.pid == own));
        let due: Vec<u32> = model.due().into_iter().map(|request| request.pid).collect();
        assert!(!due.is_empty());
        // A requested process is not requested again.
        assert!(model.due().iter().all(|request| !due.contains(&request.pid)));
    }
}
