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
        listing::{Lister, Listing},
        page_table::{Budget, Found, Look, PageTable, Walk},
        process::Resident,
        procfs::Procfs,
        region::Region,
        source,
    },
    model::scan::{Depth, Over, Scan},
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
pub(super) const TRIES: u32 = 4;

/// A process that is being read.
pub struct Work {
    pid: u32,
    begun: u64,
    took: Duration,
    room: Bytes,
    counters: ReadBudget,
    tries: u32,
    state: State,
}

enum State {
    Asked(Plan),
    Maps(Box<Lister>),
    Smaps(Box<Lister>),
    Pages(Box<Pages>),
    /// Its page tables are read, and its regions and evidence are wanted for the counters.
    Wanting(Box<Scan>),
    Counters(Box<Counting>),
}

/// What to read of a process.
pub enum Plan {
    /// [`Depth::Regions`].
    Regions,
    /// [`Depth::Mappings`].
    Mappings,
    /// [`Depth::Pages`].
    Pages {
        /// The ranges.
        parts: Vec<Region>,
        /// `None` when it is given later, if at all.
        detail: Option<Detail>,
    },
}

/// What the counters of a process need besides its page tables.
pub struct Detail {
    /// Its regions.
    pub regions: Vec<Region>,
    /// Evidence about its programs and memory; `None` when it must be collected.
    pub evidence: Option<Arc<ProcessEvidence>>,
}

impl From<Depth> for Plan {
    fn from(depth: Depth) -> Self {
        match depth {
            Depth::Regions => Self::Regions,
            Depth::Mappings => Self::Mappings,
            Depth::Pages { parts, regions, evidence } => {
                Self::Pages { parts, detail: Some(Detail { regions, evidence }) }
            }
        }
    }
}

/// A walk through page tables, with the facts for its scan.
struct Pages {
    table: PageTable,
    walk: Walk,
    found: Vec<Found>,
    detail: Option<Detail>,
}

impl Work {
    /// Begins to read a process. The list of its mappings may take `room` bytes. Its counters are tried this often, the
    /// first time with this budget.
    pub const fn new(pid: u32, plan: Plan, room: Bytes, counters: ReadBudget, tries: u32) -> Self {
        Self { pid, begun: 0, took: Duration::ZERO, room, counters, tries, state: State::Asked(plan) }
    }

    /// Whether it can only continue with [`Self::go_on`].
    pub const fn wants_detail(&self) -> bool {
        matches!(self.state, State::Wanting(_))
    }

    /// Continues with regions and evidence, or without counters. Returns the scan if it is complete.
    pub fn go_on(&mut self, detail: Option<Detail>) -> Option<Scan> {
        let State::Wanting(scan) = &mut self.state else { return None };
        let scan = Scan { took: self.took, ..std::mem::replace(&mut **scan, empty(self.pid, self.begun)) };
        let Some(Detail { regions, evidence: Some(evidence) }) = detail else { return Some(scan) };
        let (scan, process) = (Some(scan), evidence);
        let (budget, tries) = (self.counters, self.tries);
        self.state = State::Counters(Box::new(Counting { scan, process, regions, budget, tries }));
        None
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
        let (pid, begun) = (self.pid, self.begun);
        if let State::Asked(plan) = &mut self.state {
            let plan = std::mem::replace(plan, Plan::Mappings);
            match begin(procfs, pid, plan, self.room) {
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
                self.listed(procfs, reader, listing)
            }
            State::Pages(pages) => {
                let Pages { table, walk, found, detail } = &mut **pages;
                match table.look(walk, BUDGET) {
                    Ok(Look::Found(more)) => found.extend(more),
                    // This kernel has no `PAGEMAP_SCAN`.
                    Ok(Look::Unsupported) => {
                        self.state = State::Asked(Plan::Mappings);
                        return None;
                    }
                    Err(_) => return Some(self.scan()),
                }
                if !walk.is_done() {
                    return None;
                }
                let (at, resident) = (clock::ktime(), resident_now(procfs, pid));
                let (parts, outside) = (std::mem::take(found), walk.outside());
                let scan = Scan { at, resident, parts, outside, ..empty(pid, begun) };
                let Some(Detail { regions, evidence }) = detail.take() else {
                    if !is_counted(&scan) {
                        return Some(scan);
                    }
                    self.state = State::Wanting(Box::new(scan));
                    return None;
                };
                let (new, evidence) = match evidence {
                    Some(evidence) => (None, evidence),
                    None => {
                        let new = Arc::new(reader.gather(pid, &regions));
                        (Some(Arc::clone(&new)), new)
                    }
                };
                self.count(procfs, Scan { evidence: new, ..scan }, evidence, regions)
            }
            // Only `go_on` continues it.
            State::Wanting(scan) => Some(std::mem::replace(&mut **scan, empty(pid, begun))),
            State::Counters(counting) => counting.once(procfs),
        }
    }

    /// Continues with the list of mappings.
    fn listed(&mut self, procfs: &Procfs, reader: &mut Reader, listing: Listing) -> Option<Scan> {
        let (over, mappings) = (over(&listing), listing.mappings);
        let (at, resident) = (clock::ktime(), resident_now(procfs, self.pid));
        if mappings.is_empty() {
            return Some(Scan { at, resident, over, ..self.scan() });
        }
        let process = Arc::new(reader.gather(self.pid, mappings.regions()));
        let evidence = Some(Arc::clone(&process));
        let scan = Scan { at, resident, mappings, evidence, ..self.scan() };
        self.count(procfs, scan, process, Vec::new())
    }

    /// Tries to read the counters if the process is large enough; `regions` is empty if the scan has them. Returns the
    /// scan, unless the next piece is another try.
    fn count(
        &mut self,
        procfs: &Procfs,
        scan: Scan,
        process: Arc<ProcessEvidence>,
        regions: Vec<Region>,
    ) -> Option<Scan> {
        if !is_counted(&scan) {
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
        empty(self.pid, self.begun)
    }
}

fn empty(pid: u32, begun: u64) -> Scan {
    Scan { begun, at: clock::ktime(), ..Scan::empty(pid) }
}

/// Whether the process is large enough to read its counters.
fn is_counted(scan: &Scan) -> bool {
    let sizes = scan.mappings.measured().filter(|(region, _)| !region.is_hugetlb);
    let sizes = sizes.map(|(_, measured)| measured.resident);
    let sizes = sizes.chain(scan.parts.iter().map(|part| part.measured.resident));
    sizes.map(|Bytes(bytes)| bytes).fold(0, u64::saturating_add) >= COUNTED
}

/// `None` for a process that is gone.
fn begin(procfs: &Procfs, pid: u32, plan: Plan, room: Bytes) -> Option<State> {
    match plan {
        Plan::Regions => Lister::maps(procfs, pid, room).ok().map(Box::new).map(State::Maps),
        Plan::Mappings => Lister::smaps(procfs, pid, room).ok().map(Box::new).map(State::Smaps),
        Plan::Pages { parts, detail } => {
            let table = PageTable::open(procfs, pid).ok()?;
            let (walk, found) = (Walk::new(parts), Vec::new());
            Some(State::Pages(Box::new(Pages { table, walk, found, detail })))
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
