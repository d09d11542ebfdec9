//! The engine: the one thread that reads the ring buffers and owns the model.
//!
//! Input: the attached programs. Output: one published `Arc<Snapshot>` per second, and kills to the recorder
//! immediately. Its only I/O is reading /proc at the tick, and it never waits for another thread.

use std::{
    path::Path,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError},
    },
    time::{Duration, Instant},
};

use aya::maps::{Array, MapData};
use jiff::Timestamp;
use memtrace_common::event::{
    fault::{Fault, copied},
    oom::OomKill,
};
use tokio::sync::watch;

mod gaps;

use self::gaps::Gaps;
use super::{
    PROC,
    attention::Attention,
    governor::{Governor, Orders},
};
use crate::{
    clock,
    container::namer::Change,
    daemon::{
        kills::recorder::{Counts, Kill, outgoing::Outgoing},
        threads::{scanner::Scanner, unwinder::Unwinder},
    },
    health::Beat,
    ingest::{
        decode::{Event, KillEvent, SpaceEvent},
        ring_buffer::Reader,
        stack::StackCopy,
    },
    metrics::self_usage,
    model::{AtKill, Latest, Model, scan::Order, walk::Unwound},
    oom::recorder::is_kill,
    probe::{kill_ring::Key, status::ProbeStatus},
    reader::pool::Readers,
    snapshot::{MemoryUse, Scans, Snapshot, Tracer, Walks},
    units::Bytes,
};

/// How often a snapshot is published.
const TICK: Duration = Duration::from_secs(1);
/// The longest time between two reads of the ring buffers: 4 MiB hold about 70,000 events.
const WAIT: Duration = Duration::from_millis(50);

/// The engine and its channels.
pub struct Engine {
    /// The reading end of the ring buffers.
    pub reader: Reader,
    /// The model.
    pub model: Model,
    /// The status of the hooks.
    pub status: ProbeStatus,
    /// Where kills go.
    pub kills: Outgoing,
    /// Counts of stored kills.
    pub counts: Arc<Counts>,
    /// Where new and removed cgroups are reported.
    pub changes: Option<SyncSender<Change>>,
    /// The last snapshot.
    pub latest: Latest,
    /// Where snapshots go.
    pub snapshots: watch::Sender<Arc<Snapshot>>,
    /// Reads page tables.
    pub scanner: Scanner,
    /// Walks stacks.
    pub unwinder: Unwinder,
    /// The reader processes, whose losses are shown and whose CPU time counts.
    pub readers: Readers,
    /// Decides how much work to do.
    pub governor: Governor,
    /// Decides how much of it is for page tables.
    pub attention: Attention,
    /// The map through which the kernel programs get the shifts.
    pub held_back: Array<MapData, u64>,
    /// The thread's beat.
    pub beat: Beat,
    /// Cgroups that are near their limit.
    pub armed: Receiver<String>,
    /// Set to stop the engine.
    pub stop: Arc<AtomicBool>,
}

impl Engine {
    /// Runs until `stop` is set, then reads the rest of the ring buffers. Returns the model.
    pub fn run(mut self) -> Model {
        let started = Timestamp::now();
        let mut tick = Instant::now();
        let mut bare_marks = 0;
        let mut gaps = Gaps::default();
        let (mut scans, mut walks, mut sampled) = (Scans::default(), Walks::default(), Sampled::default());
        while !self.stop.load(Ordering::Relaxed) && !self.model.journal().has_failed() {
            let Self { reader, model, status, kills, changes, latest, beat, unwinder, .. } = &mut self;
            let mut marked = Vec::new();
            let more = reader.read(clock::ktime, |event, copy| {
                if let Event::Space(SpaceEvent::Fault(fault)) = &event {
                    walks.unreadable += u64::from(fault.copied == copied::UNREADABLE);
                    sampled.add(fault);
                }
                let job = match (&event, copy) {
                    (Event::Space(SpaceEvent::Fault(fault)), Some(copy)) => Some((**fault, copy)),
                    _ => None,
                };
                take(event, model, changes, &mut marked);
                if let Some((fault, copy)) = job {
                    walks.passed_over += u64::from(!walk(&fault, copy, model, unwinder));
                }
            });
            beat.beat();
            bare_marks += send(marked, reader, status, (kills, latest));
            send_ends(model, (kills, latest));
            self.take_scans(&mut scans);
            self.take_walks(&mut walks);
            self.arm();
            if tick <= Instant::now() {
                self.publish(started, bare_marks, &mut gaps, (scans, walks, sampled.take()));
                tick = Instant::now() + TICK;
            }
            if !more {
                self.reader.wait(WAIT.min(tick.saturating_duration_since(Instant::now())));
            }
        }
        let Self { reader, model, status, kills, changes, latest, .. } = &mut self;
        let mut marked = Vec::new();
        // No snapshot follows, so their stacks are not walked.
        reader.finish(|event, _| take(event, model, changes, &mut marked));
        send(marked, reader, status, (kills, latest));
        send_ends(model, (kills, latest));
        self.model
    }

    /// Takes finished scans. The next ones are requested at the tick.
    fn take_scans(&mut self, scans: &mut Scans) {
        while let Ok(scan) = self.scanner.scans.try_recv() {
            scans.done += u64::from(scan.not_read.is_none());
            scans.seconds += scan.took.as_secs_f64();
            if !scan.parts.is_empty() {
                scans.by_pages += 1;
                scans.by_pages_seconds += scan.took.as_secs_f64();
            }
            self.model.take(scan);
        }
    }

    /// Takes finished walks.
    fn take_walks(&mut self, walks: &mut Walks) {
        while let Ok(unwound) = self.unwinder.done.try_recv() {
            match &unwound.walked {
                Some(_) => walks.done += 1,
                None => walks.passed_over += 1,
            }
            self.model.unwound(&unwound);
        }
    }

    /// Adjusts the amount of work to the CPU budget.
    fn govern(&mut self) {
        let before = self.governor.orders();
        let orders = self.governor.tick(clock::own_cpu() + self.readers.cpu(), clock::ktime());
        self.attend();
        let Orders { scan_share: _, fault_shift, budget_shift } = orders;
        if orders != before {
            tracing::info!("{}", self.governor.state().describe());
            let word = u64::from(fault_shift) << 32 | u64::from(budget_shift);
            if let Err(error) = self.held_back.set(0, word, 0) {
                tracing::warn!(%error, "failed to reduce the work of the kernel programs");
            }
        }
    }

    /// Sets the share of page tables. Returns it.
    fn attend(&self) -> u32 {
        let node = &self.latest.snapshot.node;
        let share = self.attention.share(self.governor.orders(), node, clock::ktime());
        self.scanner.share.store(share, Ordering::Relaxed);
        share
    }

    /// Requests scans of groups near their limit now: their processes may be dead at the next tick.
    fn arm(&mut self) {
        while let Ok(group) = self.armed.try_recv() {
            self.attention.near(clock::ktime());
            self.attend();
            for order in self.model.arm(&group) {
                // The tick detects a stopped scanner.
                drop(self.scanner.requests.send(order));
            }
        }
    }

    /// Resident memory of the daemon, and private memory of its readers.
    fn resident(&self) -> Option<Bytes> {
        self_usage::resident(Path::new(PROC), &self.readers.pids())
    }

    fn ask_for_scans(&mut self) {
        for request in self.model.astray().into_iter().chain(self.model.due()) {
            // The scanner ends only after the engine.
            if self.scanner.requests.send(Order::Read(request)).is_err() {
                tracing::error!("the scanner thread has ended; arenas are no longer updated");
            }
        }
    }

    fn publish(
        &mut self,
        started: Timestamp,
        bare_marks: u64,
        gaps: &mut Gaps,
        (scans, walks, fault_period_now): (Scans, Walks, u64),
    ) {
        self.govern();
        let mut losses = self.reader.losses();
        losses.extend(self.readers.loss());
        losses.extend(self.kills.loss());
        if gaps.need_resync(&losses) {
            if let Err(error) = self.model.resync() {
                tracing::warn!(%error, "events were lost, and listing the processes again failed");
            }
        } else {
            self.model.refresh();
        }
        if gaps.missed_cgroups(&losses)
            && let Some(changes) = &self.changes
        {
            // `take` reports a namer that has ended. One with a full queue is told at the next tick.
            if let Err(TrySendError::Full(_)) = changes.try_send(Change::Missed) {
                gaps.tell_again();
            }
        }
        self.ask_for_scans();
        let (followed, followed_bytes) = self.model.followed();
        let tracer = Tracer {
            scans: Scans {
                followed,
                followed_bytes,
                share_percent: self.attend(),
                cpu: self.governor.state(),
                ..scans
            },
            walks,
            started,
            events: self.reader.events(),
            wakeups: self.reader.wakeups(),
            fault_period: self.status.attached("page_fault").map_or(0, |_| self.status.fault_period),
            fault_period_now,
            hooks_attached: self.status.hooks.iter().filter(|hook| hook.attached.is_some()).count(),
            hooks_total: self.status.hooks.len(),
            kills: self.counts.stored.load(Ordering::Relaxed),
            bare_marks,
            kills_not_stored: self.counts.not_stored.load(Ordering::Relaxed),
            store: self.counts.store.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            losses,
            memory: MemoryUse { resident_bytes: self.resident(), ..self.model.memory() },
        };
        // It is no error if there is no receiver.
        let snapshot = Arc::new(self.model.snapshot(Some(tracer)));
        self.latest = Latest { snapshot: Arc::clone(&snapshot), at: clock::ktime() };
        self.snapshots.send_replace(snapshot);
    }
}

/// The sampled faults since the last tick, and the number of faults that they stand for.
#[derive(Debug, Default)]
struct Sampled {
    samples: u64,
    faults: u64,
}

impl Sampled {
    fn add(&mut self, fault: &Fault) {
        (self.samples, self.faults) = (self.samples + 1, self.faults.saturating_add(fault.period));
    }

    /// Returns the mean number of faults per sample, and resets.
    fn take(&mut self) -> u64 {
        let Self { samples, faults } = std::mem::take(self);
        faults.checked_div(samples).unwrap_or_default()
    }
}

/// An OOM mark, and what the model knew when it arrived.
type Marked = (Box<OomKill>, AtKill);

fn take(event: Event, model: &mut Model, changes: &Option<SyncSender<Change>>, marked: &mut Vec<Marked>) {
    model.apply(&event);
    // If the namer has thousands of changes already, its next sweep of the hierarchy finds this one.
    if let Some(changes) = changes
        && let Some(change) = Change::of(&event)
        && let Err(TrySendError::Disconnected(_)) = changes.try_send(change)
    {
        tracing::error!("the namer thread has ended; new containers get no names");
    }
    if let Event::Kill(KillEvent::OomKill(kill)) = event {
        // Immediately, because the next event may be the victim's exit.
        let at_kill = model.at_kill(&kill);
        marked.push((kill, at_kill));
    }
}

/// Sends the stack of a fault to the unwinder if it is needed; false when the unwinder's queue is full.
fn walk(fault: &Fault, copy: StackCopy, model: &mut Model, unwinder: &Unwinder) -> bool {
    let Some(job) = model.job(fault, copy) else { return true };
    let key = job.key;
    // Never wait for the unwinder: it may hang in a file system.
    let is_sent = unwinder.jobs.try_send(job).is_ok();
    if !is_sent {
        model.unwound(&Unwound { key, walked: None });
    }
    is_sent
}

/// Sends the kills among the marks. Returns the number of marks that were no kills.
fn send(
    marked: Vec<Marked>,
    reader: &Reader,
    status: &ProbeStatus,
    (kills, snapshot): (&mut Outgoing, &Latest),
) -> u64 {
    if marked.is_empty() {
        return 0;
    }
    let losses = reader.losses();
    let watches_signals = status.attached("signal").is_some();
    let mut bare = 0;
    for (frozen, at_kill) in marked {
        if is_kill(&frozen, watches_signals) {
            let (losses, snapshot) = (losses.clone(), snapshot.clone());
            kills.kill(Kill { frozen, losses, at_kill, snapshot, earlier: None });
        } else {
            reader.release(Key::of(&frozen));
            bare += 1;
        }
    }
    bare
}

/// Sends exits of processes, after the kills that may have caused them.
fn send_ends(model: &mut Model, (kills, latest): (&mut Outgoing, &Latest)) {
    model.ended().into_iter().for_each(|ended| kills.ended(ended, latest));
}
