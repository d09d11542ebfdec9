//! Names the functions in the call stacks of kills, in a thread of its own: a file may be slow, or never answer.
//!
//! Snapshots -> names of the stacks of processes that come near their limit, because the file may be gone after the
//! kill. [`Wanted`] -> [`Found`]: the names that were not known at the kill. Must not read by itself: [`Reader`] does.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel},
    },
    time::Duration,
};

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::{
    cgroup::hierarchy::is_within,
    clock,
    daemon::kills::near,
    health::Beat,
    oom::record::{OomRecord, is_same_start},
    reader::{Reader, stacks},
    snapshot::{GrowthStack, ProcessRow, Snapshot},
};

/// The most kills that wait for names.
const MOST: usize = 64;
/// How many processes of a container are asked for a file until one has it.
const ASKED: usize = 8;
/// The first process of the node, whose root is the node's.
const FIRST: u32 = 1;
/// How often the snapshots are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Stacks are named above this part of a limit, because the kill may come within seconds.
const NEAR: f64 = 0.4;
/// The most groups that are looked at, the fullest first, and the most processes of each, the fastest first.
const GROUPS: usize = 16;
const PROCESSES: usize = 4;
/// The memory of all names, in bytes; above that they are forgotten.
const MOST_BYTES: usize = 2 << 20;
/// Memory of an entry without its texts.
const ENTRY: usize = 96;

/// The names of a process's places.
#[derive(Debug)]
struct Process {
    /// A pid is used again, so its start belongs to it.
    started: Timestamp,
    /// By file and offset; `None` for a place without a name.
    names: HashMap<(String, u64), Option<String>>,
}

/// Names by process.
#[derive(Debug, Default)]
struct Known {
    processes: HashMap<u32, Process>,
    bytes: usize,
}

impl Known {
    fn put(&mut self, pid: u32, started: Timestamp, place: (String, u64), name: Option<String>) {
        let bytes = ENTRY + place.0.len() + name.as_ref().map_or(0, String::len);
        if self.bytes.saturating_add(bytes) > MOST_BYTES {
            *self = Self::default();
        }
        let process = self.processes.entry(pid).or_insert_with(|| Process { started, names: HashMap::new() });
        if !is_same_start(process.started, started) {
            *process = Process { started, names: HashMap::new() };
        }
        process.names.insert(place, name);
        // Names that are replaced count twice, which only clears the memory earlier.
        self.bytes += bytes;
    }

    fn of(&self, pid: u32, started: Timestamp) -> Option<&HashMap<(String, u64), Option<String>>> {
        let process = self.processes.get(&pid)?;
        is_same_start(process.started, started).then_some(&process.names)
    }

    /// Sets the names that are known. Returns whether some frame of a file is not known.
    fn fill(&self, pid: u32, started: Timestamp, stacks: &mut [GrowthStack]) -> bool {
        let names = self.of(pid, started);
        let mut is_left = false;
        for frame in stacks.iter_mut().flat_map(|stack| &mut stack.frames) {
            let Some((module, offset)) = frame.module.clone().zip(frame.file_offset) else { continue };
            match names.and_then(|names| names.get(&(module, offset))) {
                Some(name) => frame.symbol = frame.symbol.take().or_else(|| name.clone()),
                None => is_left = true,
            }
        }
        is_left
    }
}

/// A kill with stacks that have no names yet.
pub struct Wanted {
    /// The id of its record.
    id: String,
    stacks: Vec<GrowthStack>,
    /// The victim, and other processes of its container, which have the same files.
    pids: Vec<u32>,
    /// When they were there: that of the kill, in ns since boot.
    at: u64,
}

impl Wanted {
    /// For this record; `None` when nothing in it is left to name.
    pub fn of(record: &OomRecord) -> Option<Self> {
        let memory = record.circumstances.victim_memory.as_ref()?;
        let has_unnamed = memory.growth_stacks.iter().flat_map(|stack| &stack.frames).any(stacks::is_unnamed);
        let cgroup = record.victim.task.cgroup.as_ref();
        let survivors = record.circumstances.processes.iter().filter(|process| !process.is_victim);
        let survivors = survivors
            .filter(|process| cgroup.is_some() && process.task.cgroup.as_ref() == cgroup)
            .filter_map(|process| process.task.pid);
        has_unnamed.then(|| Self {
            id: record.id.clone(),
            stacks: memory.growth_stacks.clone(),
            pids: record.victim.task.pid.into_iter().chain(survivors).take(ASKED).collect(),
            at: record.ktime_ns,
        })
    }
}

/// The stacks of a kill, as far as they could be named.
pub struct Found {
    /// The id of its record.
    pub id: String,
    /// The same stacks.
    pub stacks: Vec<GrowthStack>,
}

/// The running thread. It ends when this is dropped, and nothing waits for it.
pub struct StackNames {
    known: Arc<Mutex<Known>>,
    wanted: SyncSender<Wanted>,
    found: Receiver<Found>,
}

impl StackNames {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        mut reader: impl Reader + 'static,
        mut snapshots: watch::Receiver<Arc<Snapshot>>,
        beat: Beat,
    ) -> anyhow::Result<Self> {
        let (wanted, asked) = sync_channel::<Wanted>(MOST);
        let (answers, found) = channel();
        let known = Arc::<Mutex<Known>>::default();
        let learned = Arc::clone(&known);
        std::thread::Builder::new()
            .name("stack-names".to_owned())
            .spawn(move || {
                loop {
                    match beat.wait(|| asked.recv_timeout(LOOK)) {
                        Ok(Wanted { id, stacks: mut unnamed, pids, at }) => {
                            name(&mut reader, &pids, at, &mut unnamed);
                            if answers.send(Found { id, stacks: unnamed }).is_err() {
                                return;
                            }
                        }
                        Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Disconnected) => return,
                    }
                    // An error means that the engine has ended; kills may still want names.
                    if snapshots.has_changed().unwrap_or(false) {
                        let snapshot = Arc::clone(&snapshots.borrow_and_update());
                        learn(&mut reader, (&snapshot, clock::ktime()), &learned);
                    }
                }
            })
            .context("failed to start the stack-names thread")?;
        Ok(Self { known, wanted, found })
    }

    /// Sets the names that are known in the stacks of a record.
    pub fn fill(&self, record: &mut OomRecord) {
        let task = &record.victim.task;
        let memory = record.circumstances.victim_memory.as_mut();
        if let (Some(pid), Some(started), Some(memory)) = (task.pid, task.started, memory) {
            lock(&self.known).fill(pid, started, &mut memory.growth_stacks);
        }
    }

    /// Requests the names of a kill; false when too many wait.
    pub fn ask(&self, wanted: Wanted) -> bool {
        self.wanted.try_send(wanted).is_ok()
    }

    /// The results since the last call.
    pub fn found(&self) -> impl Iterator<Item = Found> {
        self.found.try_iter()
    }
}

/// Names the stacks of a kill from the files of these processes that were there at the kill. A program that was not in a
/// container is also where the node's first process sees it, when all of these are gone; or this one, where that may not be
/// read.
fn name(reader: &mut dyn Reader, pids: &[u32], at: u64, unnamed: &mut [GrowthStack]) {
    for pid in pids {
        if reader.was_there(*pid, at) {
            stacks::name(*pid, unnamed, |places| reader.names(places));
        }
    }
    for pid in [FIRST, std::process::id()] {
        stacks::name_elsewhere(pid, unnamed, |places| reader.names(places));
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    // Names are whole at any time.
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Names the stacks of the processes that may soon be killed, which were there at this time.
fn learn(reader: &mut dyn Reader, (snapshot, at): (&Snapshot, u64), known: &Mutex<Known>) {
    for row in endangered(snapshot) {
        let (Some(started), Some(memory)) = (row.started, row.memory.as_ref()) else { continue };
        let mut unnamed = memory.growth_stacks.clone();
        // The lock is not held while the reader works.
        if !lock(known).fill(row.pid, started, &mut unnamed) || !reader.was_there(row.pid, at) {
            continue;
        }
        stacks::name(row.pid, &mut unnamed, |places| reader.names(places));
        let mut known = lock(known);
        for frame in unnamed.into_iter().flat_map(|stack| stack.frames) {
            if let Some(place) = frame.module.zip(frame.file_offset) {
                known.put(row.pid, started, place, frame.symbol);
            }
        }
    }
}

/// The processes with call stacks in the groups that are near their limit; of each group those that grow fastest.
fn endangered(snapshot: &Snapshot) -> Vec<&ProcessRow> {
    let mut endangered: Vec<&ProcessRow> = Vec::new();
    for (group, _) in near::limits(snapshot, NEAR, GROUPS) {
        let is_in =
            |row: &&ProcessRow| row.cgroup.as_deref().is_some_and(|path| is_within(path, &group.cgroup));
        let has_stacks =
            |row: &&ProcessRow| row.memory.as_ref().is_some_and(|memory| !memory.growth_stacks.is_empty());
        let mut rows: Vec<_> = snapshot.rows().filter(is_in).filter(has_stacks).collect();
        let growth = |row: &ProcessRow| row.growth_bytes_per_second.unwrap_or_default();
        rows.sort_by(|a, b| growth(b).total_cmp(&growth(a)));
        endangered.extend(rows.into_iter().take(PROCESSES));
    }
    endangered
}

#[cfg(test)]
#[path = "stack_names_tests.rs"]
mod tests;
