//! The engine: the one thread that reads the ring buffers and owns the model.
//!
//! Input: the attached programs. Output: an `Arc<Snapshot>` a second to whoever watches, kills to the recorder at
//! once. It does no I/O but /proc reads at its tick, and never waits for anybody.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::sync::watch;

use super::{
    model::Model,
    recorder::{Counts, Kill},
};
use crate::{
    clock,
    ingest::{decode::Event, ring_buffer::Reader},
    oom::recorder::is_kill,
    probe::status::ProbeStatus,
    snapshot::{Snapshot, Tracer},
};

/// How often a snapshot is published.
const TICK: Duration = Duration::from_secs(1);
/// How long the ring buffers are left alone at most: 4 MiB hold some 70,000 events.
const WAIT: Duration = Duration::from_millis(50);

/// Everything that the engine works with.
pub struct Engine {
    /// The reading end of the ring buffers.
    pub reader: Reader,
    /// The model.
    pub model: Model,
    /// What came of the hooks.
    pub status: ProbeStatus,
    /// Where kills go.
    pub kills: Sender<Kill>,
    /// What became of them.
    pub counts: Arc<Counts>,
    /// Where snapshots go.
    pub snapshots: watch::Sender<Arc<Snapshot>>,
    /// Set when it is to end.
    pub stop: Arc<AtomicBool>,
}

impl Engine {
    /// Runs until told to stop; then takes what is left in the ring buffers.
    pub fn run(mut self) {
        let started = Timestamp::now();
        let mut tick = Instant::now();
        let mut bare_marks = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let Self { reader, model, status, kills, .. } = &mut self;
            let mut marked = Vec::new();
            let more = reader.read(clock::ktime, |event| take(event, model, &mut marked));
            bare_marks += send(marked, reader, status, kills);
            if tick <= Instant::now() {
                self.publish(started, bare_marks);
                tick = Instant::now() + TICK;
            }
            if !more {
                self.reader.wait(WAIT.min(tick.saturating_duration_since(Instant::now())));
            }
        }
        let Self { reader, model, status, kills, .. } = &mut self;
        let mut marked = Vec::new();
        reader.finish(|event| take(event, model, &mut marked));
        send(marked, reader, status, kills);
    }

    fn publish(&mut self, started: Timestamp, bare_marks: u64) {
        self.model.refresh();
        let tracer = Tracer {
            started,
            events: self.reader.events(),
            fault_period: self.status.attached("page_fault").map_or(0, |_| self.status.fault_period),
            hooks_attached: self.status.hooks.iter().filter(|hook| hook.attached.is_some()).count(),
            hooks_total: self.status.hooks.len(),
            kills: self.counts.stored.load(Ordering::Relaxed),
            bare_marks,
            kills_not_stored: self.counts.not_stored.load(Ordering::Relaxed),
            losses: self.reader.losses(),
        };
        // Nobody watching is fine.
        self.snapshots.send_replace(Arc::new(self.model.snapshot(Some(tracer))));
    }
}

fn take(event: Event, model: &mut Model, marked: &mut Vec<Box<memtrace_common::event::oom::OomKill>>) {
    model.apply(&event);
    if let Event::OomKill(kill) = event {
        marked.push(kill);
    }
}

/// Sends the kills among the marks; returns how many were none.
fn send(
    marked: Vec<Box<memtrace_common::event::oom::OomKill>>,
    reader: &Reader,
    status: &ProbeStatus,
    kills: &Sender<Kill>,
) -> u64 {
    if marked.is_empty() {
        return 0;
    }
    let losses = reader.losses();
    let watches_signals = status.attached("signal").is_some();
    let mut bare = 0;
    for frozen in marked {
        if is_kill(&frozen, watches_signals) {
            // The recorder ends only after the engine does.
            if kills.send(Kill { frozen, losses: losses.clone() }).is_err() {
                tracing::error!("the recorder has ended; an OOM kill is lost");
            }
        } else {
            bare += 1;
        }
    }
    bare
}
