//! The namer: finds the names of containers, without ever blocking the engine.
//!
//! Input: cgroups made and removed, kills. Output: [`Names`], and the exit reasons that runtimes report for killed
//! containers. A thread reads bundles immediately, because they are deleted with their container. Tasks query the
//! runtimes, one per socket, so that a hanging runtime delays no other.

use std::{
    collections::VecDeque,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use memtrace_common::{UNKNOWN, event::cgroup::PATH_LEN};
use tokio::sync::{mpsc, watch};

use crate::{
    cgroup::hierarchy::Hierarchy,
    clock,
    container::{
        names::Names,
        path,
        sources::{self, Asked, Config, Ended, oci::Bundles},
    },
    health::Beat,
    ingest::decode::{CgroupEvent, Event},
    mm::procfs::Procfs,
};

/// How often all cgroups are walked, to find those without an event.
const SWEEP: Duration = Duration::from_secs(60);
/// The least time from one walk to the next when cgroups came and went without an event.
const SWEEP_SOON: Duration = Duration::from_secs(1);
/// A walk is followed by a pause of this many times its length, so that a container that makes cgroups in a loop costs no
/// more than five percent of a CPU here.
const PAUSE: u32 = 20;
/// Delays before a missing bundle is searched again.
const AGAIN: [Duration; 4] = [
    Duration::from_millis(5),
    Duration::from_millis(25),
    Duration::from_millis(100),
    Duration::from_millis(500),
];
/// The most bundles that are waited for.
const MOST_WAITING: usize = 4096;

/// The most changes that wait for the namer: 4 MiB with the longest paths. The next sweep finds those that are dropped.
const MOST_CHANGES: usize = 4096;
/// The most requests for ends that wait for a runtime.
const MOST_ASKED: usize = 4096;

/// A message to the namer.
#[derive(Debug)]
pub enum Change {
    /// A cgroup was made.
    Made {
        /// Its hierarchy.
        hierarchy: u32,
        /// Its id.
        id: u64,
        /// Its path; truncated if it has the maximum length of a record, and then found by the next sweep.
        path: Vec<u8>,
    },
    /// A cgroup was removed.
    Removed {
        /// Its hierarchy.
        hierarchy: u32,
        /// Its id.
        id: u64,
    },
    /// Cgroups may have been made or removed without an event.
    Missed,
    /// A process of a container was killed, or its first one ended: query the runtime about it.
    Ask(Asked),
}

impl Change {
    /// The change that an event reports, if any.
    pub fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Cgroup(CgroupEvent::CgroupMkdir(made)) if made.id != UNKNOWN => Some(Self::Made {
                hierarchy: made.hierarchy,
                id: made.id,
                path: made.path.get(..made.path_len as usize)?.to_vec(),
            }),
            Event::Cgroup(CgroupEvent::CgroupRmdir(removed)) => {
                Some(Self::Removed { hierarchy: removed.hierarchy, id: removed.id })
            }
            Event::Space(_) | Event::Task(_) | Event::Cgroup(_) | Event::Kill(_) => None,
        }
    }
}

/// The running namer. It ends when all senders are dropped.
pub struct Namer {
    /// Where changes go.
    pub changes: SyncSender<Change>,
    /// The known names.
    pub names: Names,
    /// How killed containers ended.
    pub ended: Receiver<Ended>,
}

/// Starts it, on the current runtime. Existing containers with a bundle are named before this returns.
///
/// # Errors
/// When the thread cannot be started.
pub fn start(
    config: &Config,
    hierarchy: Option<Hierarchy>,
    hierarchy_id: u32,
    beat: Beat,
) -> anyhow::Result<Namer> {
    let names = Names::default();
    let (changes, receiver) = sync_channel(MOST_CHANGES);
    let (wake, woken) = watch::channel(0);
    let (asked, questions) = mpsc::channel(MOST_ASKED);
    let (answers, ended) = channel();
    sources::start(config, &names, &woken, questions, answers);
    let bundles = Bundles::new(&config.host_root);
    let mut worker = Worker {
        names: names.clone(),
        bundles,
        hierarchy,
        hierarchy_id,
        wake,
        asked,
        waiting: VecDeque::new(),
    };
    worker.sweep();
    std::thread::Builder::new()
        .name("namer".to_owned())
        .spawn(move || worker.run(&receiver, &beat))
        .context("failed to start the namer thread")?;
    Ok(Namer { changes, names, ended })
}

/// The id of the hierarchy with the memory controller, as in events and `/proc/PID/cgroup`.
pub fn hierarchy_id(procfs: &Procfs, hierarchy: Option<&Hierarchy>) -> u32 {
    let lines = procfs.cgroup(std::process::id()).unwrap_or_default();
    let ours = |line: &&crate::mm::procfs::CgroupLine| {
        hierarchy.is_some_and(|hierarchy| hierarchy.path_of(std::slice::from_ref(*line)).is_some())
    };
    lines.iter().find(ours).map_or(0, |line| line.hierarchy)
}

struct Worker {
    names: Names,
    bundles: Bundles,
    hierarchy: Option<Hierarchy>,
    hierarchy_id: u32,
    wake: watch::Sender<u64>,
    asked: mpsc::Sender<Asked>,
    /// Containers whose bundle was missing: when to search again, and the number of tries so far.
    waiting: VecDeque<(Instant, String, usize)>,
}

impl Worker {
    fn run(mut self, changes: &Receiver<Change>, beat: &Beat) {
        let mut next_sweep = Instant::now() + SWEEP;
        // When it may be earlier.
        let mut soonest = Instant::now() + SWEEP_SOON;
        loop {
            let now = Instant::now();
            let due = self.waiting.iter().map(|(due, ..)| *due).min().unwrap_or(next_sweep).min(next_sweep);
            match beat.wait(|| changes.recv_timeout(due.saturating_duration_since(now))) {
                Ok(change) => {
                    if !self.take(change) {
                        next_sweep = next_sweep.min(soonest);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.look_again();
            let now = Instant::now();
            if next_sweep <= now {
                self.sweep();
                let after = Instant::now();
                soonest = after + pause(after - now);
                next_sweep = after + SWEEP;
            }
        }
    }

    /// Takes a change; false if only a sweep tells what changed. A walk for each cgroup with a long path would let a
    /// container that makes them in a loop take a CPU.
    #[must_use]
    fn take(&mut self, change: Change) -> bool {
        match change {
            Change::Made { hierarchy, id, path } if hierarchy == self.hierarchy_id => {
                if is_truncated(&path) {
                    return false;
                }
                self.names.lock().born(id, &path);
                self.name(&path);
            }
            Change::Removed { hierarchy, id } if hierarchy == self.hierarchy_id => {
                self.names.lock().died(id, clock::ktime());
            }
            Change::Made { .. } | Change::Removed { .. } => {}
            Change::Missed => return false,
            // The receiver ends with the runtime, as this thread does. With too many requests there is no answer.
            Change::Ask(asked) => drop(self.asked.try_send(asked)),
        }
        true
    }

    /// If the cgroup is a container, reads its bundle, and wakes the runtime queries: they know more, and also
    /// containers without a bundle.
    fn name(&mut self, path: &[u8]) {
        let Some(id) = path::name(path).and_then(|name| name.container_id) else { return };
        self.wake.send_modify(|count| *count += 1);
        if !self.look(&id)
            && let Some(delay) = AGAIN.first()
            && self.waiting.len() < MOST_WAITING
        {
            self.waiting.push_back((Instant::now() + *delay, id, 1));
        }
    }

    /// True when the container now has all its names. A runtime may have listed it before its cgroup was made, without
    /// the image name: only the bundle has that, and only while the container exists.
    fn look(&self, id: &str) -> bool {
        if self.names.lock().has_image(id) {
            return true;
        }
        // Read the bundle without holding the lock.
        let Some(name) = self.bundles.name(id) else { return false };
        self.names.lock().container(id, name, clock::ktime());
        true
    }

    fn look_again(&mut self) {
        let now = Instant::now();
        for _ in 0..self.waiting.len() {
            let Some((due, id, tries)) = self.waiting.pop_front() else { return };
            if due > now {
                self.waiting.push_back((due, id, tries));
            } else if !self.look(&id)
                && let Some(delay) = AGAIN.get(tries)
            {
                self.waiting.push_back((now + *delay, id, tries + 1));
            }
        }
    }

    fn sweep(&mut self) {
        let now = clock::ktime();
        if let Some(hierarchy) = &self.hierarchy {
            let existing = hierarchy.walk();
            let ids: Vec<String> =
                existing.values().filter_map(|path| path::name(path)?.container_id).collect();
            self.names.lock().walked(existing, now);
            for id in &ids {
                self.look(id);
            }
        }
        self.names.lock().prune(now);
    }
}

/// The last byte of the kernel's buffer is the terminator, so a path of that length may be truncated.
const fn is_truncated(path: &[u8]) -> bool {
    path.len() + 1 >= PATH_LEN
}

/// The least time from the end of a walk to the next one.
fn pause(took: Duration) -> Duration {
    took.saturating_mul(PAUSE).clamp(SWEEP_SOON, SWEEP)
}

#[cfg(test)]
mod tests;
