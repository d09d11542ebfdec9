//! The scan of one process, piece by piece.
//!
//! Input: a request. Output: a [`Scan`], after some pieces. A process that ends meanwhile gives an empty scan.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    allocator::{
        evidence::{ProcessEvidence, read::Reader},
        image::process::Budget as ReadBudget,
    },
    clock,
    mm::{
        listing::{Lister, Listing, Mappings},
        page_table::{Budget, Found, Look, PageTable, Walk},
        process::Resident,
        procfs::Procfs,
        region::Region,
        source,
    },
    model::scan::{Depth, Over, Request, Scan},
    reader::counters::Counting,
    units::Bytes,
};

/// The longest time of a piece. A single large mapping may take longer, because the kernel does not stop in the middle
/// of it.
const PIECE: Duration = Duration::from_millis(20);
/// The same limit in pages, for `PAGEMAP_SCAN`.
const BUDGET: Budget = Budget { pages: 1 << 20, calls: 4096 };

/// The allocators' counters of a process with less resident memory are not worth reading.
const COUNTED: u64 = 8 << 20;

/// The most tries to read them, each with twice the budget of the one before.
const TRIES: u32 = 4;

/// A process that is being read.
pub struct Job {
    pid: u32,
    begun: u64,
    took: Duration,
    room: Bytes,
    counters: ReadBudget,
    tries: u32,
    state: State,
}

enum State {
    Asked(Depth),
    Maps(Box<Lister>),
    Smaps(Box<Lister>),
    Pages(Box<Pages>),
    Counters(Box<Counting>),
}

/// A walk through page tables, with the facts for its scan.
struct Pages {
    table: PageTable,
    walk: Walk,
    found: Vec<Found>,
    regions: Vec<Region>,
    evidence: Option<Arc<ProcessEvidence>>,
}

impl Job {
    pub fn new(request: Request) -> Self {
        Self { tries: TRIES, ..Self::with(request, ReadBudget::DEFAULT) }
    }

    /// Id of the process.
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// A job with this budget for the allocators' counters.
    pub fn with(Request { pid, depth, room }: Request, counters: ReadBudget) -> Self {
        Self { pid, begun: 0, took: Duration::ZERO, room, counters, tries: 1, state: State::Asked(depth) }
    }

    /// Does one piece. Returns the scan, or the job to continue with.
    pub fn piece(mut self, procfs: &Procfs, reader: &mut Reader) -> Result<Scan, Box<Self>> {
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
            match begin(procfs, pid, depth, self.room) {
                Some(state) => self.state = state,
                None => return Some(self.scan()),
            }
        }
        match &mut self.state {
            State::Asked(_) => Some(self.scan()),
            State::Maps(lister) => {
                let Ok(listing) = lister.read_on(PIECE) else { return Some(self.scan()) };
                let listing = listing?;
                let (over, mappings) = (over(&listing), listing.mappings);
                Some(Scan { at: clock::ktime(), mappings, over, is_bare: true, ..self.scan() })
            }
            State::Smaps(lister) => {
                let Ok(listing) = lister.read_on(PIECE) else { return Some(self.scan()) };
                let listing = listing?;
                let (over, mappings) = (over(&listing), listing.mappings);
                let (at, resident) = (clock::ktime(), resident_now(procfs, pid));
                if mappings.is_empty() {
                    return Some(Scan { at, resident, over, ..self.scan() });
                }
                let process = Arc::new(reader.gather(pid, mappings.regions()));
                let evidence = Some(Arc::clone(&process));
                let scan = Scan { at, resident, mappings, evidence, ..self.scan() };
                self.count(procfs, scan, process, Vec::new())
            }
            State::Pages(pages) => {
                let Pages { table, walk, found, regions, evidence } = &mut **pages;
                match table.look(walk, BUDGET) {
                    Ok(Look::Found(more)) => found.extend(more),
                    // This kernel has no `PAGEMAP_SCAN`.
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
                let regions = std::mem::take(regions);
                let scan = Scan { at, resident, parts, outside, evidence: new, ..self.scan() };
                self.count(procfs, scan, evidence, regions)
            }
            State::Counters(counting) => counting.once(procfs),
        }
    }

    /// Tries to read the counters if the process is large enough; `regions` is empty if the scan has them. Returns the scan, unless the next piece is another
    /// try.
    fn count(
        &mut self,
        procfs: &Procfs,
        scan: Scan,
        process: Arc<ProcessEvidence>,
        regions: Vec<Region>,
    ) -> Option<Scan> {
        let sizes = scan.mappings.measured().filter(|(region, _)| !region.is_hugetlb);
        let sizes = sizes
            .map(|(_, measured)| measured.resident)
            .chain(scan.parts.iter().map(|part| part.measured.resident));
        if sizes.map(|Bytes(bytes)| bytes).fold(0, u64::saturating_add) < COUNTED {
            return Some(scan);
        }
        let (budget, tries) = (self.counters, self.tries);
        let mut counting = Box::new(Counting { scan: Some(scan), process, regions, budget, tries });
        let scan = counting.once(procfs);
        self.state = State::Counters(counting);
        scan
    }

    /// An empty scan.
    fn scan(&self) -> Scan {
        Scan {
            pid: self.pid,
            begun: self.begun,
            at: clock::ktime(),
            resident: None,
            is_bare: false,
            mappings: Mappings::default(),
            over: None,
            parts: Vec::new(),
            outside: Bytes(0),
            evidence: None,
            reading: None,
            took: self.took,
        }
    }
}

/// `None` for a process that is gone.
fn begin(procfs: &Procfs, pid: u32, depth: Depth, room: Bytes) -> Option<State> {
    match depth {
        Depth::Regions => Lister::maps(procfs, pid, room).ok().map(Box::new).map(State::Maps),
        Depth::Mappings => Lister::smaps(procfs, pid, room).ok().map(Box::new).map(State::Smaps),
        Depth::Pages { parts, regions, evidence } => {
            let table = PageTable::open(procfs, pid).ok()?;
            let (walk, found) = (Walk::new(parts), Vec::new());
            Some(State::Pages(Box::new(Pages { table, walk, found, regions, evidence })))
        }
    }
}

fn over(listing: &Listing) -> Option<Over> {
    listing.is_over.then_some(Over { mappings: listing.count, list: listing.needs })
}

/// The kernel's current RSS.
fn resident_now(procfs: &Procfs, pid: u32) -> Option<Resident> {
    procfs.statm(pid).ok().map(source::resident)
}
