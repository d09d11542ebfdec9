//! The recorder: kills from the engine to disk, before anything else is done with them.
//!
//! Input: kills by channel. Output: durable records, counted. On a full disk they are kept in memory and retried, and
//! immediately printed to the log as JSON, so that they exist somewhere.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use jiff::Timestamp;

use super::kernel_log::KernelLog;
use crate::{
    cgroup::hierarchy::Hierarchy,
    clock,
    container::names::Names,
    daemon::kills::{follow_up::FollowUp, known::Known, member_kills::MemberKills},
    mm::procfs::Procfs,
    model::{Latest, exits::Ended},
    oom::{
        cause::cause,
        exit::ExitRecord,
        group::is_member,
        owner::Baselines,
        record::OomRecord,
        recorder::{Context, record},
        surroundings::{KnownAtKill, surround},
        symbols::Kallsyms,
    },
    probe::kill_ring::Key,
    store::Now,
    text::escape,
};

mod commit;
mod inherit;
mod inputs;
pub mod outgoing;
mod upkeep;

pub use self::{
    inputs::{Counts, Keep, Kill, News, Surroundings},
    upkeep::open,
};

/// The most kills that wait for the disk, and their size as JSON. Above that the oldest are dropped and counted; the log
/// has them.
const MAX_WAITING: usize = 10_000;
const MAX_WAITING_BYTES: usize = 16 << 20;
/// The most records that wait to replace one from the kernel log.
const MAX_REPLACED: usize = 512;
/// Delay before a failed write is retried.
const RETRY: Duration = Duration::from_secs(2);
/// How often the kernel log is searched for missed kills.
const LOOK: Duration = Duration::from_secs(1);
/// One commit takes the kills that arrive within this time. The limit is needed because in a storm there is always a
/// next one.
const BATCH: Duration = Duration::from_millis(20);
/// Work that is not urgent waits for a pause of a storm, but at most this long.
const LATER: Duration = Duration::from_millis(500);
/// How often old kills are deleted.
const TIDY: Duration = Duration::from_secs(600);
/// How often due kills are judged.
const SOON: Duration = Duration::from_millis(500);

/// The running recorder. It ends when the engine's sender is dropped and all is stored.
pub struct Recorder {
    /// Where the engine sends kills.
    pub sender: Sender<News>,
    /// Counts of stored kills.
    pub counts: Arc<Counts>,
    /// The thread.
    pub thread: JoinHandle<()>,
}

/// Starts the thread.
///
/// # Errors
/// When the store cannot be read or the thread not started.
pub fn start(mut surroundings: Surroundings) -> anyhow::Result<Recorder> {
    let store = surroundings.store.store().context("the store is not open")?;
    for tally in store.tallies()? {
        surroundings.shared.count_kills(tally.join, tally.kills);
    }
    // Read after the programs are attached, so a group that is missing here is younger than the tracer.
    let baselines = inherit::baselines(surroundings.hierarchy.as_ref());
    let member_kills = MemberKills::open(
        Procfs::new("/proc"),
        surroundings.hierarchy.clone(),
        surroundings.names.clone(),
        store,
    )?;
    let log = KernelLog::from_now();
    let (known, follow_up) = inherit::recall(&mut surroundings)?;
    let (sender, receiver) = channel();
    let counts = Arc::new(Counts::default());
    let shared = Arc::clone(&counts);
    let thread = std::thread::Builder::new()
        .name("recorder".to_owned())
        .spawn(move || {
            let worker = Worker {
                clock: upkeep::now(&surroundings.boot_id),
                surroundings,
                baselines,
                earlier: Baselines::unknown(),
                known,
                symbols: Kallsyms::default(),
                log,
                replaced: Vec::new(),
                tidied: None,
                member_kills,
                waiting: VecDeque::new(),
                ancestors: HashMap::new(),
                exits: Vec::new(),
                follow_up,
                taken: Vec::new(),
                merged: Vec::new(),
                more_victims: Vec::new(),
                in_log: VecDeque::new(),
                given_up: 0,
                counts: shared,
            };
            worker.run(&receiver);
        })
        .context("failed to start the recorder thread")?;
    Ok(Recorder { sender, counts, thread })
}

struct Worker {
    surroundings: Surroundings,
    /// The last reading of the clocks.
    clock: Now,
    baselines: Baselines,
    /// For kills from before the groups were read.
    earlier: Baselines,
    known: Known,
    symbols: Kallsyms,
    log: KernelLog,
    /// Ids of backfilled records whose kill the tracer did see, with the records that replace them.
    replaced: Vec<(String, OomRecord)>,
    tidied: Option<Instant>,
    member_kills: MemberKills,
    waiting: VecDeque<OomRecord>,
    /// The ancestors of their victims, by the record's id.
    ancestors: HashMap<String, Vec<u32>>,
    exits: Vec<ExitRecord>,
    follow_up: FollowUp,
    /// Kills whose records in the ring are needed until the next commit, and until further victims are stored.
    taken: Vec<Key>,
    merged: Vec<Key>,
    /// Further victims of groups with a stored record, still to be counted.
    more_victims: Vec<OomRecord>,
    /// Sizes of those of the waiting records that were printed to the log.
    in_log: VecDeque<usize>,
    given_up: u64,
    counts: Arc<Counts>,
}

impl Worker {
    fn run(mut self, news: &Receiver<News>) {
        self.inherit();
        let (mut looked, mut followed) = (Instant::now(), Instant::now());
        loop {
            let patience = match () {
                () if self.member_kills.is_waiting() || self.follow_up.is_waiting() => SOON,
                () if self.waiting.is_empty() => LOOK,
                () => RETRY,
            };
            let (ends, is_idle) = match self.surroundings.beat.wait(|| news.recv_timeout(patience)) {
                Ok(told) => self.batch(told, news),
                Err(RecvTimeoutError::Timeout) => (Vec::new(), true),
                Err(RecvTimeoutError::Disconnected) => {
                    self.store_waiting();
                    self.look_after_store();
                    self.follow_up();
                    self.store_rows(true);
                    return;
                }
            };
            self.read_clocks();
            if looked.elapsed() >= LOOK {
                self.look(is_idle);
                looked = Instant::now();
            }
            self.store_waiting();
            // Each step may wait for the disk.
            self.surroundings.beat.beat();
            self.look_after_store();
            self.surroundings.beat.beat();
            self.judge(&ends);
            if is_idle || followed.elapsed() >= LATER {
                self.follow_up();
                self.add();
                followed = Instant::now();
            }
        }
    }

    /// Takes the kills for one commit. Returns the exits among the news, and whether nothing more waits.
    fn batch(&mut self, first: News, news: &Receiver<News>) -> (Vec<(Box<Ended>, Latest)>, bool) {
        let (begun, mut ends) = (Instant::now(), Vec::new());
        let mut told = first;
        loop {
            self.counts.queued.fetch_sub(told.size(), Ordering::Relaxed);
            match told {
                News::Kill(kill) => self.take(&kill),
                News::Ended(ended, latest) => ends.push((ended, latest)),
            }
            if begun.elapsed() >= BATCH {
                return (ends, false);
            }
            match news.try_recv() {
                Ok(next) => told = next,
                Err(_) => return (ends, true),
            }
        }
    }

    fn take(&mut self, kill: &Kill) {
        let key = Key::of(&kill.frozen);
        if !self.known.is_new(key) {
            return self.surroundings.releaser.release([key]);
        }
        let Surroundings { boot_id, hook, watches_signals, hierarchy, names, .. } = &self.surroundings;
        let path_of = |id| Some(escape(&path(id, names, hierarchy.as_ref(), kill.earlier.as_ref())?));
        let context = Context {
            now: (Timestamp::now(), clock::ktime()),
            boot_id,
            cgroup_version: hierarchy.as_ref().map(Hierarchy::version_number),
            page_size: rustix::param::page_size() as u64,
            hook: kill.earlier.as_ref().map_or(hook, |earlier| &earlier.hook),
            watches_signals: kill
                .earlier
                .as_ref()
                .map_or(*watches_signals, |earlier| earlier.watches_signals),
            losses: kill.losses.clone(),
            symbols: &self.symbols,
            path_of: &path_of,
        };
        let baselines = if kill.earlier.is_some() { &mut self.earlier } else { &mut self.baselines };
        let mut record = record(&kill.frozen, &context, baselines);
        let dump = match &kill.earlier {
            Some(earlier) => earlier.note(&mut record),
            None => {
                let victim = &record.victim.task;
                self.log.report(victim.pid.unwrap_or_default(), victim.tid)
            }
        };
        let owner = record.limit_owner.as_ref().and_then(|owner| owner.path.as_deref());
        let history =
            owner.and_then(|owner| Some(self.surroundings.shared.history().container(owner)?.points()));
        let known = KnownAtKill {
            snapshot: &kill.snapshot.snapshot,
            snapshot_at: kill.snapshot.at,
            victim: kill.at_kill.victim.as_ref(),
            copies: &kill.at_kill.copies,
            dump: dump.as_ref(),
            history: history.as_deref().unwrap_or_default(),
            page_size: rustix::param::page_size() as u64,
        };
        surround(&mut record, &kill.frozen, &known);
        self.surroundings.stack_names.fill(&mut record);
        self.surroundings.heaps.fill(&mut record);
        name(&mut record, names);
        // The kernel log has a line for each victim, so tell the backfill of this one in any case.
        let replaced = self.surroundings.backfill.as_mut().and_then(|backfill| backfill.seen(&record));
        // Another victim of a kill whose record is stored or about to be.
        if replaced.is_none() {
            if let Some(first) = self.waiting.iter_mut().rev().find(|first| is_member(first, &record)) {
                first.circumstances.more_victims.push(record.victim);
                self.taken.push(key);
                return;
            }
            if self.follow_up.merge(&record) {
                self.more_victims.push(record);
                self.merged.push(key);
                return;
            }
        }
        self.taken.push(key);
        record.circumstances.cause = Some(cause(&record));
        match replaced {
            Some(id) => self.replaced.push((id, record)),
            None => {
                if kill.earlier.is_none() {
                    self.ancestors.insert(record.id.clone(), kill.at_kill.ancestors.clone());
                }
                self.waiting.push_back(record);
            }
        }
    }
}

/// The path of a cgroup.
fn path(
    id: u64,
    names: &Names,
    hierarchy: Option<&Hierarchy>,
    earlier: Option<&inputs::Earlier>,
) -> Option<Vec<u8>> {
    let known = names.lock().path(id).map(<[u8]>::to_vec);
    known.or_else(|| match earlier {
        Some(earlier) => earlier.paths.get(&id).cloned(),
        None => hierarchy?.walk().remove(&id),
    })
}

/// Names the cgroups, each by its own id: victim, trigger and owner of the limit may be in different ones.
fn name(record: &mut OomRecord, names: &Names) {
    let registry = names.lock();
    let of = |id: Option<u64>, path: Option<&String>| {
        id.and_then(|id| registry.of(id)).or_else(|| registry.of_shown(path?))
    };
    let (victim, trigger) = (&record.victim.task, &record.trigger.task);
    let container = of(victim.cgroup_id, victim.cgroup.as_ref());
    let is_elsewhere = trigger.cgroup_id != victim.cgroup_id;
    let trigger_container = of(trigger.cgroup_id, trigger.cgroup.as_ref()).filter(|_| is_elsewhere);
    let owner = record.limit_owner.as_ref();
    let limit_owner_name = owner.and_then(|owner| of(owner.cgroup_id, owner.path.as_ref()));
    record.circumstances.container = container;
    record.circumstances.trigger_container = trigger_container;
    record.circumstances.limit_owner_name = limit_owner_name;
}
