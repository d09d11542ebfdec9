//! The scanner: reads page tables and programs of processes, in a thread of its own.
//!
//! Input: pids, by channel. Output: [`Scan`]s, by channel. A process whose map lock is held, or whose programs lie on a
//! slow file system, delays the next scan and nothing else. It keeps to a share of one CPU by resting after each scan.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::{
    allocator::{
        attribute,
        counters::{
            self, Reading, Target,
            process::{Budget, Process},
            root::Root,
        },
        evidence::{ProcessEvidence, read::Reader},
    },
    clock,
    mm::{
        procfs::Procfs,
        region::Region,
        smaps::{self, Mapping},
    },
};

/// The allocators' counters of a process with less resident memory are not worth reading.
const COUNTED: u64 = 8 << 20;

/// What one look at a process gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scan {
    /// Which.
    pub pid: u32,
    /// When the page tables were read to the end, ns since boot: events after that are not in it.
    pub at: u64,
    /// The mappings; empty when the process is gone or may not be read.
    pub mappings: Vec<Mapping>,
    /// What is in its programs.
    pub evidence: Arc<ProcessEvidence>,
    /// What its allocators' counters said; `None` when they were not asked.
    #[serde(default)]
    pub reading: Option<Reading>,
    /// How long it took.
    pub took: Duration,
}

/// The running scanner; it ends when the sender is dropped.
pub struct Scanner {
    /// Where pids go.
    pub requests: Sender<u32>,
    /// Where scans come from.
    pub scans: Receiver<Scan>,
}

/// Starts the thread. `share` is the part of one CPU that it may use, in percent, 1 to 100.
///
/// # Errors
/// When the thread cannot be started.
pub fn start(procfs: Procfs, share: u32) -> anyhow::Result<Scanner> {
    let (requests, pids) = channel();
    let (done, scans) = channel();
    std::thread::Builder::new()
        .name("scanner".to_owned())
        .spawn(move || run(&procfs, share.clamp(1, 100), &pids, &done))
        .context("failed to start the scanner thread")?;
    Ok(Scanner { requests, scans })
}

fn run(procfs: &Procfs, share: u32, pids: &Receiver<u32>, done: &Sender<Scan>) {
    let mut reader = Reader::new(procfs.clone());
    while let Ok(pid) = pids.recv() {
        let scan = scan(procfs, &mut reader, pid);
        let rest = scan.took * (100 - share) / share;
        if done.send(scan).is_err() {
            return;
        }
        // Not while the engine shuts down: a rest is short against its patience.
        std::thread::sleep(rest.min(Duration::from_secs(1)));
    }
}

fn scan(procfs: &Procfs, reader: &mut Reader, pid: u32) -> Scan {
    let begun = Instant::now();
    let smaps = smaps::read(procfs, pid).unwrap_or_default();
    let at = clock::ktime();
    let regions: Vec<Region> = smaps.mappings.iter().map(|mapping| mapping.region.clone()).collect();
    let evidence = if regions.is_empty() { ProcessEvidence::default() } else { reader.gather(pid, &regions) };
    let resident: u64 = smaps.mappings.iter().filter_map(|mapping| mapping.usage.rss).map(|rss| rss.0).sum();
    let reading = (resident >= COUNTED).then(|| read(procfs, pid, &evidence, &regions)).flatten();
    let evidence = Arc::new(evidence);
    Scan { pid, at, mappings: smaps.mappings, evidence, reading, took: begun.elapsed() }
}

/// The counters of its allocators, within a budget of their own. Regions have no calls here, so that an owner can be
/// less certain than in the rows.
fn read(procfs: &Procfs, pid: u32, process: &ProcessEvidence, regions: &[Region]) -> Option<Reading> {
    let owned = attribute(process, regions);
    let at = clock::ktime();
    let mut image = Process::open(procfs, pid, Budget::DEFAULT).ok()?;
    let files = Root::open(procfs, pid);
    let mut target = Target { image: &mut image, files: &files, process, regions, owned: &owned };
    let (counters, absent) = counters::read_all(&mut target);
    Some(Reading { at, counters, absent })
}
