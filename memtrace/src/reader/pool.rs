//! The reader processes of the daemon.
//!
//! Requests of any thread -> answers, or the reason why not. A reader that hangs or dies is replaced,
//! and the process that it read is quarantined. Must not hold its lock over a call that waits.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash as _, Hasher as _},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::Duration,
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

pub mod quarantine;
pub mod session;

use self::quarantine::{Group, Identity, Quarantine, Whom};
use super::{
    NotRead,
    process::{Failure, Process, cpu_time},
    protocol::{Answer, Ask, frame},
};
use crate::{health::Beat, ingest::loss::Loss, mm::procfs::Procfs};

/// The most readers that wait in the kernel and cannot be killed; beyond that no other is started.
const MOST_STUCK: usize = 4;
/// The interval at which stuck readers are reaped.
const REAP: Duration = Duration::from_secs(1);
/// The most readers that answer at the same time, besides those of sessions.
const MOST_BUSY: usize = 6;

/// Name and meaning of the loss that [`Readers::loss`] counts.
pub const NOT_READ: (&str, &str) =
    ("not_read", "reads of a process whose files or mounts hang or crash a reader process");

/// Counts since the start of the daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Readers that were started.
    pub started: u64,
    /// Readers that were killed because they hung, or took too much CPU time for one request.
    pub late: u64,
    /// Readers that died while they answered.
    pub died: u64,
    /// Readers that wait in the kernel now, so that they cannot be killed.
    pub stuck: usize,
    /// Requests without an answer, quarantined processes included.
    pub unanswered: u64,
}

/// A handle; clones share the processes.
#[derive(Clone, Debug)]
pub struct Readers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    procfs: Procfs,
    starter: Sender<Sender<io::Result<Process>>>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    idle: Option<Process>,
    busy: usize,
    stuck: Vec<Process>,
    quarantine: Quarantine,
    counts: Counts,
    /// The pids of all readers that run.
    running: Vec<u32>,
    /// CPU time of those that ended, in ns.
    spent: u64,
}

impl Readers {
    /// Starts the thread that starts and reaps readers, and the first reader: when memory is short, a later start may fail.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(program: PathBuf, procfs: Procfs, beat: Beat) -> anyhow::Result<Self> {
        let (starter, wanted) = channel();
        let state = Arc::<Mutex<State>>::default();
        // The kernel kills a reader when the thread that started it ends (PR_SET_PDEATHSIG).
        std::thread::Builder::new()
            .name("readers".to_owned())
            .spawn({
                let state = Arc::clone(&state);
                move || keep(&program, &wanted, &state, &beat)
            })
            .context("failed to start the readers thread")?;
        let readers = Self(Arc::new(Shared { procfs, starter, state }));
        match readers.started() {
            Ok(process) => readers.lock().idle = Some(process),
            Err(error) => tracing::warn!(%error, "failed to start a reader process"),
        }
        Ok(readers)
    }

    /// The counts now.
    pub fn counts(&self) -> Counts {
        let state = self.lock();
        Counts { stuck: state.stuck.len(), ..state.counts }
    }

    /// CPU time of all readers since the start of the daemon.
    pub fn cpu(&self) -> Duration {
        let (running, spent) = {
            let state = self.lock();
            (state.running.clone(), state.spent)
        };
        let now = running.into_iter().filter_map(cpu_time).fold(0, u64::saturating_add);
        Duration::from_nanos(spent.saturating_add(now))
    }

    /// The requests without an answer, if there are any.
    pub fn loss(&self) -> Option<Loss> {
        let (name, meaning) = NOT_READ;
        let count = self.lock().counts.unanswered;
        (count > 0).then(|| Loss { name: name.to_owned(), count, meaning: meaning.to_owned() })
    }

    /// The pids of running readers.
    pub fn pids(&self) -> Vec<u32> {
        self.lock().running.clone()
    }

    /// See [`super::Reader::was_there`].
    pub fn was_there(&self, pid: u32, at: u64) -> bool {
        super::was_there(&self.0.procfs, pid, at)
    }

    /// Sends a request to a reader, and waits for the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn ask(&self, ask: &Ask, patience: Duration) -> Result<Answer, NotRead> {
        let answer = self.answer(ask, patience);
        self.count(answer.as_ref().err());
        answer
    }

    /// Counts a request without an answer. A process that ended is no loss.
    fn count(&self, why: Option<&NotRead>) {
        if why.is_some_and(|why| *why != NotRead::Gone) {
            self.lock().counts.unanswered += 1;
        }
    }

    fn answer(&self, ask: &Ask, patience: Duration) -> Result<Answer, NotRead> {
        let pid = ask.pid();
        let frame = frame(ask).ok_or(NotRead::TooLarge)?;
        // Known before: a process that ends while it holds a reader up does not escape, and its group counts.
        let whom = self.whom(pid)?;
        self.check(whom)?;
        let idle = self.lock().take()?;
        let was_idle = idle.is_some();
        let mut end = self.try_one(idle, &frame, patience);
        if was_idle && matches!(end, End::Died(..)) {
            // It may have died while it was idle, for example by an OOM kill.
            end = self.try_one(None, &frame, patience);
        }
        // If the pid was reused meanwhile, the answer is about another process.
        let is_same = self.identity(pid) == Ok(whom.0);
        let mut state = self.lock();
        state.busy = state.busy.saturating_sub(1);
        let (why, stuck) = match end {
            End::Answered(process, answer) => {
                let other = state.idle.replace(process);
                drop(state);
                self.end(other);
                return if is_same { Ok(answer) } else { Err(NotRead::Gone) };
            }
            End::None(error) => return Err(NotRead::NoReader(error)),
            End::Late(stuck) => (NotRead::Late(patience), stuck),
            End::Busy(time, stuck) => (NotRead::Busy(time), stuck),
            End::Died(error, stuck) => (NotRead::Died(error), stuck),
        };
        drop(state);
        self.blame(whom, &why, stuck);
        Err(why)
    }

    /// Whether this process may be read.
    fn check(&self, (who, group): Whom) -> Result<(), NotRead> {
        let state = &mut *self.lock();
        let State { stuck, quarantine, .. } = state;
        stuck.retain_mut(|process| !process.has_ended());
        quarantine.expire(|reader| stuck.iter().any(|process| process.pid() == reader));
        quarantine.check(who, group)
    }

    /// Quarantines the process that a reader hung or died on.
    fn blame(&self, (who, group): Whom, why: &NotRead, stuck: Option<u32>) {
        let mut state = self.lock();
        match why {
            NotRead::Late(_) | NotRead::Busy(_) => state.counts.late += 1,
            _ => state.counts.died += 1,
        }
        state.quarantine.add(who, group, stuck);
        drop(state);
        tracing::warn!(
            pid = who.0,
            %why,
            "failed to read a process; it is not read again for {} s",
            quarantine::TIME.as_secs()
        );
    }

    fn try_one(&self, idle: Option<Process>, frame: &[u8], patience: Duration) -> End {
        let mut process = match idle.map_or_else(|| self.started(), Ok) {
            Ok(process) => process,
            Err(error) => return End::None(error.to_string()),
        };
        match process.ask(frame, patience) {
            Ok(answer) => End::Answered(process, answer),
            Err(failure) => {
                let stuck = self.end(Some(process));
                match failure {
                    Failure::Late => End::Late(stuck),
                    Failure::Busy(time) => End::Busy(time, stuck),
                    Failure::Died(error) => End::Died(error.to_string(), stuck),
                }
            }
        }
    }

    fn started(&self) -> io::Result<Process> {
        let (answer, answered) = channel();
        let gone = || io::Error::other("the thread that starts readers is gone");
        self.0.starter.send(answer).map_err(|_| gone())?;
        let process = answered.recv().map_err(|_| gone())??;
        let mut state = self.lock();
        state.counts.started += 1;
        state.running.push(process.pid());
        Ok(process)
    }

    /// Kills it. Keeps it in the list of stuck readers if it does not exit, and returns its pid then.
    fn end(&self, process: Option<Process>) -> Option<u32> {
        let process = process?;
        let pid = process.pid();
        let spent = cpu_time(pid).unwrap_or_default();
        {
            let mut state = self.lock();
            state.running.retain(|running| *running != pid);
            state.spent = state.spent.saturating_add(spent);
        }
        let stuck = process.kill()?;
        self.lock().stuck.push(stuck);
        Some(pid)
    }

    fn whom(&self, pid: u32) -> Result<Whom, NotRead> {
        Ok((self.identity(pid)?, self.group(pid)))
    }

    fn identity(&self, pid: u32) -> Result<Identity, NotRead> {
        self.0.procfs.stat(pid).map(|stat| (pid, stat.start_ticks)).map_err(|_| NotRead::Gone)
    }

    fn group(&self, pid: u32) -> Group {
        let lines = self.0.procfs.cgroup(pid).ok()?;
        if lines.iter().all(|line| line.path == b"/") {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        lines.iter().for_each(|line| (line.hierarchy, &line.path).hash(&mut hasher));
        Some(hasher.finish())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }
}

/// The end of a request. With the pid of the reader if it is stuck.
enum End {
    Answered(Process, Answer),
    Late(Option<u32>),
    Busy(Duration, Option<u32>),
    Died(String, Option<u32>),
    /// No reader could be started.
    None(String),
}

impl State {
    /// Reserves a reader: the idle one, or `None` when the caller is to start one.
    fn take(&mut self) -> Result<Option<Process>, NotRead> {
        if self.stuck.len() >= MOST_STUCK || self.busy >= MOST_BUSY {
            return Err(NotRead::TooMany { stuck: self.stuck.len(), busy: self.busy });
        }
        self.busy += 1;
        Ok(self.idle.take())
    }

    /// Waits for the idle reader if it has ended; nobody may ask for long.
    fn reap_idle(&mut self) {
        let Some(idle) = &mut self.idle else { return };
        let pid = idle.pid();
        // What has ended and was waited for has no time.
        let spent = cpu_time(pid).unwrap_or_default();
        if idle.has_ended() {
            self.idle = None;
            self.running.retain(|running| *running != pid);
            self.spent = self.spent.saturating_add(spent);
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts readers on request, and reaps stuck ones and the idle one, which somebody may have killed.
fn keep(program: &Path, wanted: &Receiver<Sender<io::Result<Process>>>, state: &Mutex<State>, beat: &Beat) {
    loop {
        match beat.wait(|| wanted.recv_timeout(REAP)) {
            // The receiver waits for it, unless the daemon is ending.
            Ok(answer) => drop(answer.send(Process::start(program))),
            Err(RecvTimeoutError::Timeout) => {
                let mut state = lock(state);
                state.stuck.retain_mut(|process| !process.has_ended());
                state.reap_idle();
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
