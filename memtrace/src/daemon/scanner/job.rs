//! One process that is being read, piece by piece.
//!
//! Input: a request. Output: a [`Scan`], after some pieces. A process that ends meanwhile gives an empty one.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Depth, Request, Scan};
use crate::{
    allocator::{
        attribute,
        counters::{
            self, Reading, Target,
            process::{Budget as ReadBudget, Process},
            root::Root,
        },
        evidence::{ProcessEvidence, read::Reader},
    },
    clock,
    mm::{
        maps::{self, Slow},
        page_table::{Budget, Found, Look, PageTable, Walk},
        process::Resident,
        procfs::Procfs,
        region::Region,
        smaps::{self, Mapping, Usage},
        source,
    },
    units::Bytes,
};

/// How long a piece may take, but for a mapping that is large by itself: the kernel does not stop in the middle of one.
const PIECE: Duration = Duration::from_millis(20);
/// The same in pages, where the kernel can be told.
const BUDGET: Budget = Budget { pages: 1 << 20, calls: 4096 };

/// The allocators' counters of a process with less resident memory are not worth reading.
const COUNTED: u64 = 8 << 20;

/// Times that counters are read until their budget is enough, twice as long each time. Pages that nobody used for a while
/// can be slow to copy: a hypervisor or a slower tier has them, at 30 us a page and more.
const TRIES: u32 = 4;
/// A reading that took less than this part of its budget failed for another reason.
const OF_BUDGET: u32 = 8;

/// A process that is being read.
pub(super) struct Job {
    pid: u32,
    begun: u64,
    took: Duration,
    counters: ReadBudget,
    state: State,
}

enum State {
    Asked(Depth),
    Maps(Slow),
    Smaps(Slow),
    Pages(Box<Pages>),
}

/// A walk through page tables, and what is known besides.
struct Pages {
    table: PageTable,
    walk: Walk,
    found: Vec<Found>,
    regions: Vec<Region>,
    evidence: Option<Arc<ProcessEvidence>>,
}

impl Job {
    pub(super) fn new(request: Request) -> Self {
        Self::with(request, ReadBudget::DEFAULT)
    }

    /// Of which process.
    pub(super) const fn pid(&self) -> u32 {
        self.pid
    }

    /// With so much for its allocators' counters.
    pub(super) fn with(Request { pid, depth }: Request, counters: ReadBudget) -> Self {
        Self { pid, begun: 0, took: Duration::ZERO, counters, state: State::Asked(depth) }
    }

    /// Does one piece: the scan, or the job to go on with.
    pub(super) fn piece(mut self, procfs: &Procfs, reader: &mut Reader) -> Result<Scan, Box<Self>> {
        let begun = Instant::now();
        if self.begun == 0 {
            self.begun = clock::ktime();
        }
        let outcome = self.work(procfs, reader);
        self.took += begun.elapsed();
        match outcome {
            Some(scan) => Ok(Scan { took: self.took, ..scan }),
            None => Err(Box::new(self)),
        }
    }

    fn work(&mut self, procfs: &Procfs, reader: &mut Reader) -> Option<Scan> {
        let pid = self.pid;
        if let State::Asked(depth) = &mut self.state {
            let depth = std::mem::replace(depth, Depth::Mappings);
            match begin(procfs, pid, depth) {
                Some(state) => self.state = state,
                None => return Some(self.scan()),
            }
        }
        match &mut self.state {
            State::Asked(_) => Some(self.scan()),
            State::Maps(slow) => {
                let bytes = match slow.read_on(PIECE) {
                    Ok(bytes) => bytes?,
                    Err(_) => return Some(self.scan()),
                };
                let at = clock::ktime();
                let bare = |region| Mapping { region, usage: Usage::default() };
                let mappings = maps::parse(&bytes).regions.into_iter().map(bare).collect();
                Some(Scan { at, mappings, is_bare: true, ..self.scan() })
            }
            State::Smaps(slow) => {
                let bytes = match slow.read_on(PIECE) {
                    Ok(bytes) => bytes?,
                    Err(_) => return Some(self.scan()),
                };
                let (at, resident) = (clock::ktime(), resident_now(procfs, pid));
                let mappings = smaps::parse(&bytes).mappings;
                let regions: Vec<Region> = mappings.iter().map(|mapping| mapping.region.clone()).collect();
                if regions.is_empty() {
                    return Some(self.scan());
                }
                let evidence = reader.gather(pid, &regions);
                let sizes = mappings.iter().filter_map(|mapping| mapping.usage.rss);
                let reading = count(self.counters, procfs, pid, sizes, &evidence, &regions);
                let evidence = Some(Arc::new(evidence));
                Some(Scan { at, resident, mappings, evidence, reading, ..self.scan() })
            }
            State::Pages(pages) => {
                let Pages { table, walk, found, regions, evidence } = &mut **pages;
                match table.look(walk, BUDGET) {
                    Ok(Look::Found(more)) => found.extend(more),
                    // This kernel has no such call.
                    Ok(Look::Unsupported) => {
                        self.state = State::Asked(Depth::Mappings);
                        return None;
                    }
                    Err(_) => return Some(self.scan()),
                }
                if !walk.is_done() {
                    return None;
                }
                let (at, resident) = (clock::ktime(), resident_now(procfs, pid));
                let (parts, outside) = (std::mem::take(found), walk.outside());
                let (new, evidence) = match evidence.take() {
                    Some(evidence) => (None, evidence),
                    None => {
                        let new = Arc::new(reader.gather(pid, regions));
                        (Some(Arc::clone(&new)), new)
                    }
                };
                let sizes = parts.iter().map(|part| part.measured.resident);
                let reading = count(self.counters, procfs, pid, sizes, &evidence, regions);
                Some(Scan { at, resident, parts, outside, evidence: new, reading, ..self.scan() })
            }
        }
    }

    /// One that gave nothing.
    fn scan(&self) -> Scan {
        Scan {
            pid: self.pid,
            begun: self.begun,
            at: clock::ktime(),
            resident: None,
            is_bare: false,
            mappings: Vec::new(),
            parts: Vec::new(),
            outside: Bytes(0),
            evidence: None,
            reading: None,
            took: self.took,
        }
    }
}

/// `None` for a process that is gone.
fn begin(procfs: &Procfs, pid: u32, depth: Depth) -> Option<State> {
    match depth {
        Depth::Regions => Slow::maps(procfs, pid).ok().map(State::Maps),
        Depth::Mappings => Slow::smaps(procfs, pid).ok().map(State::Smaps),
        Depth::Pages { parts, regions, evidence } => {
            let table = PageTable::open(procfs, pid).ok()?;
            let (walk, found) = (Walk::new(parts), Vec::new());
            Some(State::Pages(Box::new(Pages { table, walk, found, regions, evidence })))
        }
    }
}

/// What the kernel counts as resident.
fn resident_now(procfs: &Procfs, pid: u32) -> Option<Resident> {
    procfs.statm(pid).ok().map(source::resident)
}

/// The counters of the allocators of a process that is large enough, within a budget of their own.
fn count(
    budget: ReadBudget,
    procfs: &Procfs,
    pid: u32,
    resident: impl Iterator<Item = Bytes>,
    process: &ProcessEvidence,
    regions: &[Region],
) -> Option<Reading> {
    if resident.map(|Bytes(bytes)| bytes).fold(0, u64::saturating_add) < COUNTED {
        return None;
    }
    let owned = attribute(process, regions);
    let files = Root::open(procfs, pid);
    let mut best: Option<Reading> = None;
    for at_try in 0..TRIES {
        let budget = ReadBudget { time: budget.time * (1 << at_try), ..budget };
        let (at, begun) = (clock::ktime(), Instant::now());
        let mut image = Process::open(procfs, pid, budget).ok()?;
        let mut target = Target { image: &mut image, files: &files, process, regions, owned: &owned };
        let (counters, absent) = counters::read_all(&mut target);
        let reading = Reading { at, counters, absent };
        let is_over = reading.is_good() || begun.elapsed() < budget.time / OF_BUDGET;
        if best.as_ref().is_none_or(|best| reading.doubt() < best.doubt()) {
            best = Some(reading);
        }
        if is_over {
            break;
        }
    }
    best
}
