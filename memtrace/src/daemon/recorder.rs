//! The recorder: kills from the engine to disk, before anything else is done with them.
//!
//! Input: frozen kills by channel. Output: durable records, counted; on a full disk they are kept, retried, and
//! printed to the log as JSON at once, so that they exist somewhere.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::Context as _;
use jiff::Timestamp;
use memtrace_common::event::oom::OomKill;

use super::{
    aftermath::Aftermath, analyst::Shared, engine::Latest, exits::Ended, kernel_log::KernelLog, model::AtKill,
};
use crate::{
    clock,
    container::{
        cgroup::{Hierarchy, Version},
        memcg::{self},
    },
    ingest::loss::Loss,
    oom::{
        cause::cause,
        exit::ExitRecord,
        group::is_member,
        owner::Baselines,
        record::OomRecord,
        recorder::{Context, record},
        surroundings::{Known, surround},
        symbols::{Kallsyms, KernelSymbols as _},
    },
    store::{Filter, Store, StoreError},
    units::escape,
};

/// Kills that wait for the disk at most; the oldest are given up first, counted, and are in the log.
const MAX_WAITING: usize = 10_000;
/// How often a disk that failed is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// A kill and what the engine knew when it came.
pub struct Kill {
    /// As the kernel side froze it.
    pub frozen: Box<OomKill>,
    /// Losses by then.
    pub losses: Vec<Loss>,
    /// What the model knew of the victim.
    pub at_kill: AtKill,
    /// The last snapshot before.
    pub snapshot: Latest,
}

/// What the engine tells.
pub enum News {
    /// A kill.
    Kill(Box<Kill>),
    /// The end of a process, and the last snapshot before it.
    Ended(Box<Ended>, Latest),
}

/// Counts that the snapshot shows.
#[derive(Debug, Default)]
pub struct Counts {
    /// Durable.
    pub stored: AtomicU64,
    /// Waiting for the disk, or given up.
    pub not_stored: AtomicU64,
}

/// What does not change while the daemon runs.
pub struct Surroundings {
    /// This boot.
    pub boot_id: String,
    /// The hook.
    pub hook: String,
    /// Whether the signal hook is attached.
    pub watches_signals: bool,
    /// Where cgroups are.
    pub hierarchy: Option<Hierarchy>,
    /// Where records go.
    pub state_dir: PathBuf,
    /// Counts kills, and knows what came before them.
    pub shared: Shared,
}

/// The running recorder. It ends when the engine's sender is dropped and all is stored.
pub struct Recorder {
    /// Where the engine sends kills.
    pub sender: Sender<News>,
    /// What became of them.
    pub counts: Arc<Counts>,
    /// The thread.
    pub thread: JoinHandle<()>,
}

/// Opens the store and starts the thread.
///
/// # Errors
/// When the store cannot be opened or the thread not started.
pub fn start(surroundings: Surroundings) -> anyhow::Result<Recorder> {
    let store = open(&surroundings.state_dir)?;
    for kill in store.list(&Filter::default())? {
        kill.cgroup.iter().for_each(|cgroup| surroundings.shared.count_kill(cgroup));
    }
    // After the programs are attached: a group that is not among these is younger than the tracer.
    let baselines = baselines(surroundings.hierarchy.as_ref());
    let log = KernelLog::from_now();
    let (sender, receiver) = channel();
    let counts = Arc::new(Counts::default());
    let shared = Arc::clone(&counts);
    let thread = std::thread::Builder::new()
        .name("recorder".to_owned())
        .spawn(move || {
            let worker = Worker {
                surroundings,
                store,
                baselines,
                // Bound to its thread.
                symbols: Kallsyms::default(),
                log,
                waiting: VecDeque::new(),
                exits: Vec::new(),
                aftermath: Aftermath::default(),
                in_log: 0,
                given_up: 0,
                counts: shared,
            };
            worker.run(&receiver);
        })
        .context("failed to start the recorder thread")?;
    Ok(Recorder { sender, counts, thread })
}

fn open(state_dir: &Path) -> anyhow::Result<Store> {
    let store = Store::open(state_dir)?;
    if let Some(aside) = store.set_aside() {
        tracing::error!(path = %aside.display(), "the store was corrupt; it was set aside and a new one begun");
    }
    Ok(store)
}

fn baselines(hierarchy: Option<&Hierarchy>) -> Baselines {
    let Some(hierarchy) = hierarchy else { return Baselines::default() };
    let groups = hierarchy.walk().into_iter();
    Baselines::of_existing(groups.map(|(id, path)| (id, memcg::oom_events(hierarchy, &path))))
}

struct Worker {
    surroundings: Surroundings,
    store: Store,
    baselines: Baselines,
    symbols: Kallsyms,
    log: KernelLog,
    waiting: VecDeque<OomRecord>,
    exits: Vec<ExitRecord>,
    aftermath: Aftermath,
    /// How many of the waiting were printed to the log.
    in_log: usize,
    given_up: u64,
    counts: Arc<Counts>,
}

impl Worker {
    fn run(mut self, news: &Receiver<News>) {
        // The first look at the kernel's symbols takes long; it must not delay the first kill.
        self.symbols.names(&[0]);
        loop {
            let is_open = !self.waiting.is_empty() || !self.exits.is_empty() || self.aftermath.is_waiting();
            let first = if is_open {
                news.recv_timeout(RETRY)
            } else {
                news.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            let mut ends = Vec::new();
            let mut sort = |worker: &mut Self, told: News| match told {
                News::Kill(kill) => worker.take(&kill),
                News::Ended(ended, latest) => ends.push((ended, latest)),
            };
            match first {
                Ok(told) => {
                    sort(&mut self, told);
                    // One commit for all that came meanwhile.
                    while let Ok(told) = news.try_recv() {
                        sort(&mut self, told);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.store_waiting();
                    self.follow_up(&[]);
                    return;
                }
            }
            self.store_waiting();
            self.follow_up(&ends);
        }
    }

    /// What is not urgent: ends, and what they and a look at /proc add to the kills that are on disk.
    fn follow_up(&mut self, ends: &[(Box<Ended>, Latest)]) {
        for (ended, latest) in ends {
            let exit = self.aftermath.ended(ended, latest, &self.surroundings.boot_id);
            self.exits.push(exit);
        }
        self.aftermath.look_at_mounts(Path::new("/proc"));
        let written = self.aftermath.write(&mut self.store);
        let stored = if self.exits.is_empty() { Ok(()) } else { self.store.insert_exits(&self.exits) };
        match stored {
            Ok(()) => self.exits.clear(),
            // Ends are many and less than kills: the newest are kept for the next try.
            Err(_) => drop(self.exits.drain(..self.exits.len().saturating_sub(MAX_WAITING))),
        }
        if let Err(error) = written.and(stored) {
            tracing::warn!(error = %chain(&error), "failed to store what followed a kill; it is tried again");
        }
    }

    fn take(&mut self, kill: &Kill) {
        let Surroundings { boot_id, hook, watches_signals, hierarchy, state_dir: _, shared: _ } =
            &self.surroundings;
        let path_of = |id| {
            let path = hierarchy.as_ref()?.walk().remove(&id)?;
            Some(escape(&path))
        };
        let context = Context {
            now: (Timestamp::now(), clock::ktime()),
            boot_id,
            cgroup_version: hierarchy.as_ref().map(|hierarchy| match hierarchy.version {
                Version::V1 => 1,
                Version::V2 => 2,
            }),
            page_size: rustix::param::page_size() as u64,
            hook,
            watches_signals: *watches_signals,
            losses: kill.losses.clone(),
            symbols: &self.symbols,
            path_of: &path_of,
        };
        let mut record = record(&kill.frozen, &context, &mut self.baselines);
        let victim = &record.victim.task;
        let dump = self.log.report(victim.pid.unwrap_or_default(), victim.tid);
        let owner = record.limit_owner.as_ref().and_then(|owner| owner.path.as_deref());
        let history =
            owner.and_then(|owner| Some(self.surroundings.shared.history().container(owner)?.points()));
        let known = Known {
            snapshot: &kill.snapshot.snapshot,
            snapshot_at: kill.snapshot.at,
            victim: kill.at_kill.victim.as_ref(),
            copies: &kill.at_kill.copies,
            dump: dump.as_ref(),
            history: history.as_deref().unwrap_or_default(),
            page_size: rustix::param::page_size() as u64,
        };
        surround(&mut record, &kill.frozen, &known);
        // Another victim of a kill that has a record: on disk, or on its way there.
        if let Some(first) = self.waiting.iter_mut().rev().find(|first| is_member(first, &record)) {
            first.circumstances.more_victims.push(record.victim);
            return;
        }
        if self.aftermath.merge(&record) {
            return;
        }
        record.circumstances.cause = Some(cause(&record));
        self.waiting.push_back(record);
    }

    fn store_waiting(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let records = self.waiting.make_contiguous();
        match self.store.insert_kills(records) {
            Ok(_) => {
                for record in records.iter() {
                    tracing::info!(id = %record.id, victim = %record.victim.task.comm, tid = record.victim.task.tid,
                        "recorded an OOM kill");
                    if let Some(cgroup) = &record.victim.task.cgroup {
                        self.surroundings.shared.count_kill(cgroup);
                    }
                    self.aftermath.add(record);
                }
                self.counts.stored.fetch_add(records.len() as u64, Ordering::Relaxed);
                self.waiting.clear();
                self.in_log = 0;
            }
            Err(error) => self.keep(&error),
        }
        self.counts.not_stored.store(self.waiting.len() as u64 + self.given_up, Ordering::Relaxed);
    }

    /// The disk did not take them: each is printed once, and kept for the next try.
    fn keep(&mut self, error: &StoreError) {
        for record in self.waiting.iter().skip(self.in_log) {
            let json = serde_json::to_string(record).unwrap_or_else(|error| error.to_string());
            tracing::error!(error = %chain(error), record = %json, "failed to store an OOM kill; it is kept and retried");
        }
        while self.waiting.len() > MAX_WAITING {
            self.waiting.pop_front();
            self.given_up += 1;
        }
        self.in_log = self.waiting.len();
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
