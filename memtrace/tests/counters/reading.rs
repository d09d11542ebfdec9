//! One reading of a live process, as the daemon makes it.

use std::time::{Duration, Instant};

use memtrace::{
    allocator::{
        Owned, attribute,
        counters::{
            self, Absent, Counters, Target,
            process::{Budget, Process},
            root::Root,
        },
        evidence::{ProcessEvidence, read::Reader},
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
        let files = Root::open(&procfs, self.pid);
        let mut target = Target {
            image: &mut image,
            files: &files,
            process: &self.process,
            regions: &self.regions,
            owned: &self.owned,
        };
        let (read, absent) = counters::read_all(&mut target);
        (read, absent, begun.elapsed())
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
