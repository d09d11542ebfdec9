//! The scanner: reads page tables and programs of processes, in a thread of its own.
//!
//! Input: [`Request`]s, by channel. Output: [`Scan`]s, by channel. A process is read in pieces of some milliseconds, in
//! turn with the others that are asked for, so that none holds the rest up; one whose map lock is held, or whose programs
//! lie on a slow file system, delays the next piece and nothing else. It keeps to a share of one CPU by resting.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc::{Receiver, Sender, TryRecvError, channel},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use self::job::Job;
use crate::{
    allocator::{
        counters::{Reading, process::Budget},
        evidence::{ProcessEvidence, read::Reader},
    },
    mm::{page_table::Found, procfs::Procfs, region::Region, smaps::Mapping},
    units::Bytes,
};

mod job;

/// Pieces rest no longer than this at once: the engine may shut down meanwhile.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// What to read of a process.
#[derive(Clone, Debug)]
pub enum Depth {
    /// Its mappings, and all that smaps tells of each: some 5 ms a resident GiB and 10 µs a mapping.
    Mappings,
    /// How much of these ranges is resident, by `PAGEMAP_SCAN`: 3 ms a resident GiB. Without that call it is as above.
    Pages {
        /// The ranges, as parts of regions.
        parts: Vec<Region>,
        /// The regions that they are parts of.
        regions: Vec<Region>,
        /// What is known of its programs and memory; `None` when these are to be looked at again.
        evidence: Option<Arc<ProcessEvidence>>,
    },
}

/// A process to read.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which.
    pub pid: u32,
    /// What of it.
    pub depth: Depth,
}

/// What one look at a process gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scan {
    /// Which.
    pub pid: u32,
    /// When the page tables began to be read, ns since boot.
    pub begun: u64,
    /// When they were read to the end, ns since boot: events after that are not in it.
    pub at: u64,
    /// The mappings, when those were asked for; empty when the process is gone or may not be read.
    pub mappings: Vec<Mapping>,
    /// What the ranges hold, when those were asked for.
    #[serde(default)]
    pub parts: Vec<Found>,
    /// Resident in none of the ranges.
    #[serde(default)]
    pub outside: Bytes,
    /// What is in its programs; `None` when that was not asked for.
    pub evidence: Option<Arc<ProcessEvidence>>,
    /// What its allocators' counters said; `None` when they were not asked.
    #[serde(default)]
    pub reading: Option<Reading>,
    /// How long it took.
    pub took: Duration,
}

impl Scan {
    /// True when the process is gone or may not be read.
    pub const fn is_empty(&self) -> bool {
        self.mappings.is_empty() && self.parts.is_empty()
    }
}

/// The running scanner; it ends when the sender is dropped.
pub struct Scanner {
    /// Where requests go.
    pub requests: Sender<Request>,
    /// Where scans come from.
    pub scans: Receiver<Scan>,
    /// The part of one CPU that it may use, in percent, 1 to 100.
    pub share: Arc<AtomicU32>,
}

/// Starts the thread.
///
/// # Errors
/// When the thread cannot be started.
pub fn start(procfs: Procfs, share: u32) -> anyhow::Result<Scanner> {
    let (requests, asked) = channel();
    let (done, scans) = channel();
    let share = Arc::new(AtomicU32::new(share));
    let own = Arc::clone(&share);
    std::thread::Builder::new()
        .name("scanner".to_owned())
        .spawn(move || run(&procfs, &own, &asked, &done))
        .context("failed to start the scanner thread")?;
    Ok(Scanner { requests, scans, share })
}

/// One whole look at a process, with so much for its allocators' counters, by the thread that asks.
pub fn scan(procfs: &Procfs, reader: &mut Reader, request: Request, counters: Budget) -> Scan {
    let mut job = Job::with(request, counters);
    loop {
        match job.piece(procfs, reader) {
            Ok(scan) => return scan,
            Err(unfinished) => job = *unfinished,
        }
    }
}

fn run(procfs: &Procfs, share: &AtomicU32, asked: &Receiver<Request>, done: &Sender<Scan>) {
    let mut reader = Reader::new(procfs.clone());
    let mut jobs: VecDeque<Job> = VecDeque::new();
    loop {
        loop {
            let next = if jobs.is_empty() {
                asked.recv().map_err(|_| TryRecvError::Disconnected)
            } else {
                asked.try_recv()
            };
            match next {
                Ok(request) => jobs.push_back(Job::new(request)),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
        }
        let Some(job) = jobs.pop_front() else { continue };
        let begun = Instant::now();
        match job.piece(procfs, &mut reader) {
            Ok(scan) => {
                if done.send(scan).is_err() {
                    return;
                }
            }
            Err(job) => jobs.push_back(*job),
        }
        let share = share.load(Ordering::Relaxed).clamp(1, 100);
        let rest = begun.elapsed() * (100 - share) / share;
        std::thread::sleep(rest.min(LONGEST_REST));
    }
}
