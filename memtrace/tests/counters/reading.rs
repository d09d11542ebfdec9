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
    },
    mm::{procfs::Procfs, region::Region, smaps},
};

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
        self.read_within(Budget { bytes: 4 << 30, time: Duration::from_secs(20) })
    }

    /// The same with an end to it.
    fn read_within(&self, budget: Budget) -> (Vec<Counters>, Vec<Absent>, Duration) {
        let procfs = Procfs::new("/proc");
        let begun = Instant::now();
        let mut image = Process::open(&procfs, self.pid, budget).unwrap();
        let (read, absent) = counters::read_all(&mut self.target(&mut image, &Root::open(&procfs, self.pid)));
        (read, absent, begun.elapsed())
    }

    fn target<'a>(&'a self, image: &'a mut dyn Image, files: &'a Root) -> Target<'a> {
        Target { image, files, process: &self.process, regions: &self.regions, owned: &self.owned }
    }

    /// What one reader says within the daemon's budget, and when it had read all of the memory that it needs for that
    /// (`CLOCK_MONOTONIC`, ns). What it asks page tables for comes after.
    pub fn alone(&self, reader: &dyn CounterReader) -> (Result<Counters, Absent>, u64) {
        let procfs = Procfs::new("/proc");
        let process = Process::open(&procfs, self.pid, Budget::DEFAULT).unwrap();
        let mut image = Noting { process, last: 0 };
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
        let (read, absent, _) = self.read_in_time();
        only(allocator, read, absent)
    }
}

/// A process of which it is known when it was read last.
struct Noting {
    process: Process,
    last: u64,
}

impl Image for Noting {
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> bool {
        let is_read = self.process.read(address, buffer);
        self.last = now();
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

/// Waits for the other program to get so far.
pub fn until(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "it does not get on");
        std::thread::yield_now();
    }
}
