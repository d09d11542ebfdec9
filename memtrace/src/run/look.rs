//! Looks at the owners of a run's memory, near its peak.
//!
//! A cgroup -> an [`Explanation`], read in a thread of its own, so that signals and samples go on. Looks are spaced by what
//! they cost: at most 2 % of the time is looked. A daemon that runs adds call stacks and verdicts over time.

use std::{
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::Instant,
};

use rustix::process::setpriority_process;

use crate::{
    api::{
        client,
        v1::path::{INSIGHTS, SNAPSHOT},
    },
    explain::{self, Explanation, alone, facts, find, fresh},
    mm::procfs::Procfs,
    reader::Local,
    sizing::run::Look,
    snapshot::Snapshot,
    units::Bytes,
};

/// A look costs at most one part in so many of the time.
const SPACING: f64 = 50.0;
/// Growth since the last look that is worth another one.
const RISE: f64 = 1.05;
/// The first look, in seconds after the start: a shorter command would wait for it on a busy machine.
const FIRST: f64 = 1.0;
/// The part of the limit from which on one look is due, whatever it costs: a kill may be near.
const NEAR: f64 = 0.9;
/// The priority of the thread that looks: the least there is.
const LEAST_URGENT: i32 = 19;
/// Less memory is not worth a look: 1 MiB.
const LEAST: u64 = 1 << 20;

/// The looks at one run.
pub struct Looks {
    proc: PathBuf,
    cgroup: String,
    socket: Option<PathBuf>,
    running: Option<Running>,
    next: f64,
    /// The charge at which one look is due in any case.
    near: Option<u64>,
    looked: u64,
    best: Option<Look>,
}

struct Running {
    at: f64,
    begin: Instant,
    thread: JoinHandle<Option<Explanation>>,
}

impl Looks {
    /// At the cgroup, escaped, with its limit; `socket`: where a daemon may be.
    pub fn at(proc: &Path, cgroup: String, limit: Option<Bytes>, socket: Option<&Path>) -> Self {
        Self {
            proc: proc.into(),
            cgroup,
            socket: socket.map(Path::to_owned),
            running: None,
            next: FIRST,
            near: limit.map(|limit| (limit.0 as f64 * NEAR) as u64),
            looked: 0,
            best: None,
        }
    }

    /// Looks, if it is time and there is more to see than the last time.
    pub fn tick(&mut self, at: f64, usage: Bytes) {
        if self.running.as_ref().is_some_and(|running| running.thread.is_finished()) {
            self.take(at);
        }
        let is_worth = usage.0 >= LEAST && usage.0 as f64 > self.looked as f64 * RISE;
        let is_near = self.near.is_some_and(|near| usage.0 >= near);
        if self.running.is_some() || !(is_near || (at >= self.next && is_worth)) {
            return;
        }
        if is_near {
            self.near = None;
        }
        self.looked = usage.0;
        let (proc, cgroup, socket) = (self.proc.clone(), self.cgroup.clone(), self.socket.clone());
        let look = move || look(&proc, &cgroup, socket.as_deref());
        let thread = thread::Builder::new().name("look".to_owned()).spawn(look);
        // Without a thread there is no look, as on a machine that is full.
        self.running = thread.ok().map(|thread| Running { at, begin: Instant::now(), thread });
    }

    /// The last look. One that is under way is left alone: what it looks at is gone, and nobody waits for it.
    pub fn end(mut self, at: f64) -> Option<Look> {
        if self.running.as_ref().is_some_and(|running| running.thread.is_finished()) {
            self.take(at);
        }
        self.best
    }

    fn take(&mut self, now: f64) {
        let Some(Running { at, begin, thread }) = self.running.take() else { return };
        self.next = now + begin.elapsed().as_secs_f64() * SPACING;
        let Ok(Some(explanation)) = thread.join() else { return };
        let is_better = |best: &Look| best.explanation.total_bytes <= explanation.total_bytes;
        // Processes that have ended in between leave nothing to see.
        if !explanation.processes.is_empty() && self.best.as_ref().is_none_or(is_better) {
            self.best = Some(Look { at, explanation });
        }
    }
}

fn look(proc: &Path, cgroup: &str, socket: Option<&Path>) -> Option<Explanation> {
    // The command goes first; where that is refused, a look costs what it costs.
    let _ = setpriority_process(None, LEAST_URGENT);
    // Its own command, at the lowest priority, which a process of its own would not have.
    let mut reader = Local::new(Procfs::new(proc));
    let fresh = alone::snapshot(proc, &mut reader, &[cgroup]).ok()?;
    let known = socket.and_then(|socket| client::get::<Snapshot>(socket, SNAPSHOT).ok());
    let insights = known.as_ref().and(socket).and_then(|socket| client::get(socket, INSIGHTS).ok());
    let snapshot = match known {
        Some(mut known) => {
            fresh::refresh(&mut known, &fresh, &find(&fresh, cgroup).ok()?);
            known
        }
        None => fresh,
    };
    let subject = find(&snapshot, cgroup).ok()?;
    let facts = facts::gather(&mut reader, &snapshot, &subject);
    let mut explanation = explain::explain(&snapshot, insights.as_ref(), &facts, &subject);
    facts::name_stacks(&mut reader, &mut explanation);
    Some(explanation)
}
