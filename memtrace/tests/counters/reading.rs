//! One reading of a live process, as the daemon makes it.

use std::time::{Duration, Instant};

use memtrace::{
    allocator::{
        Owned, attribute,
        counters::{self, Absent, CounterReader, Counters, Target, plausibility},
        evidence::{ProcessEvidence, read::Reader},
        image::{
            Image,
            process::{Budget, Process},
            root::Root,
        },
        objects::{self, Objects},
    },
    mm::{procfs::Procfs, region::Region, smaps},
};

use super::workload::Workload;

/// A process, and what is known of it.
pub struct Known {
    pid: u32,
    regions: Vec<Region>,
    process: ProcessEvidence,
    owned: Vec<Owned>,
}

impl Known {
    /// Looks at a process.
    pub fn of(pid: u32) -> Self {
        let procfs = Procfs::new("/proc");
        let mappings = smaps::read(&procfs, pid).unwrap().mappings;
        let regions: Vec<Region> = mappings.into_iter().map(|mapping| mapping.region).collect();
        let process = Reader::new(procfs).gather(pid, &regions);
        let owned = attribute(&process, &regions);
        Self { pid, regions, process, owned }
    }

    /// Reads all counters, and how long that took. Without optimisation, or beside other tests, a reading takes longer
    /// than the daemon would let it: the figures are what this is about.
    pub fn read(&self) -> (Vec<Counters>, Vec<Absent>, Duration) {
        self.read_within(Budget { bytes: 4 << 30, time: Duration::from_secs(60) })
    }

    /// The same with an end to it.
    pub fn read_within(&self, budget: Budget) -> (Vec<Counters>, Vec<Absent>, Duration) {
        let procfs = Procfs::new("/proc");
        let begun = Instant::now();
        let mut image = Process::open(&procfs, self.pid, budget).unwrap();
        let (read, absent) = counters::read_all(&mut self.target(&mut image, &Root::open(&procfs, self.pid)));
        (read, absent, begun.elapsed())
    }

    fn target<'a>(&'a self, image: &'a mut dyn Image, files: &'a Root) -> Target<'a> {
        Target { image, files, process: &self.process, regions: &self.regions, owned: &self.owned }
    }

    /// What fills its heaps, by type, with as much time as that takes.
    pub fn objects(&self) -> (Vec<Objects>, Vec<Absent>) {
        self.objects_within(Budget { bytes: 4 << 30, time: Duration::from_secs(60) })
    }

    /// The same within a budget.
    pub fn objects_within(&self, budget: Budget) -> (Vec<Objects>, Vec<Absent>) {
        let procfs = Procfs::new("/proc");
        let mut image = Process::open(&procfs, self.pid, budget).unwrap();
        objects::read_all(&mut self.target(&mut image, &Root::open(&procfs, self.pid)))
    }

    /// What one reader says within the daemon's budget, and when it had read the memory that its figure comes from
    /// (`CLOCK_MONOTONIC`, ns). After that it asks page tables, and looks once more.
    pub fn alone(&self, reader: &dyn CounterReader) -> (Result<Counters, Absent>, u64) {
        let procfs = Procfs::new("/proc");
        let process = Process::open(&procfs, self.pid, Budget::DEFAULT).unwrap();
        let mut image = Noting { process, last: 0, is_over: false };
        let files = Root::open(&procfs, self.pid);
        let mut target = self.target(&mut image, &files);
        let read = reader.read(&mut target).and_then(|counters| plausibility::check(&mut target, counters));
        (read, image.last)
    }

    /// As the daemon reads.
    pub fn read_in_time(&self) -> (Vec<Counters>, Vec<Absent>, Duration) {
        self.read_within(Budget::DEFAULT)
    }

    /// The counters of one allocator.
    pub fn counters(&self, allocator: &str) -> Result<Counters, Absent> {
        let (read, absent, _) = self.read();
        only(allocator, read, absent)
    }

    /// The same within the time and bytes that the daemon gives.
    pub fn counters_in_time(&self, allocator: &str) -> Result<Counters, Absent> {
        self.counters_within(allocator, Budget::DEFAULT)
    }

    /// The same within any.
    pub fn counters_within(&self, allocator: &str, budget: Budget) -> Result<Counters, Absent> {
        let (read, absent, _) = self.read_within(budget);
        only(allocator, read, absent)
    }
}

/// A process of which it is known when it was read last before page tables were asked about much.
struct Noting {
    process: Process,
    last: u64,
    is_over: bool,
}

impl Image for Noting {
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> bool {
        let is_read = self.process.read(address, buffer);
        if !self.is_over {
            self.last = now();
        }
        is_read
    }

    fn page_size(&self) -> u64 {
        self.process.page_size()
    }

    fn left(&self) -> u64 {
        self.process.left()
    }

    fn is_spent(&self) -> bool {
        self.process.is_spent()
    }

    fn present(&mut self, start: u64, end: u64) -> Vec<(u64, u64)> {
        self.is_over |= end.saturating_sub(start) >= 1 << 20;
        self.process.present(start, end)
    }
}

/// `CLOCK_MONOTONIC`, ns.
pub fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

fn only(allocator: &str, read: Vec<Counters>, absent: Vec<Absent>) -> Result<Counters, Absent> {
    let found = read.into_iter().find(|counters| counters.allocator == allocator);
    found.ok_or_else(|| {
        let reason = absent.into_iter().find(|absent| absent.allocator == allocator);
        reason.unwrap_or_else(|| panic!("no answer for {allocator}"))
    })
}

/// A figure that has to be there.
pub fn bytes(figure: Option<memtrace::units::Bytes>) -> u64 {
    figure.expect("a figure").0
}

/// What a program answers, and what was read while it would answer the same: it is at rest when it says the same after the
/// reading as before. A thread may still be on its way, and some allocators give back by the clock.
pub fn at_rest<T>(workload: &mut Workload, questions: &[&str], read: impl Fn(u32) -> T) -> (Vec<u64>, T) {
    let ask = |workload: &mut Workload| -> Vec<u64> {
        questions.iter().map(|question| workload.say(question).unwrap()).collect()
    };
    let mut found = None;
    until("the program is at rest", || {
        let said = ask(workload);
        let seen = read(workload.pid());
        found = (ask(workload) == said).then_some((said, seen));
        found.is_some()
    });
    found.unwrap()
}

/// Waits for the other program to get so far.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(180);
    while !is_so() {
        assert!(Instant::now() < deadline, "not in three minutes: {what}");
        std::thread::yield_now();
    }
}
