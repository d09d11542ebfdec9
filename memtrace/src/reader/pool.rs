//! The reader processes of the daemon.
//!
//! Requests of any thread -> answers, or the reason why not. A reader that hangs or dies is replaced,
//! and the process that it read is quarantined. Must not hold its lock over a call that waits.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::{
    NotRead,
    process::{Failure, Process},
    protocol::{Answer, Ask},
};
use crate::{health::Beat, ingest::loss::Loss, mm::procfs::Procfs};

/// How long a process is not read after a reader hung or died on it.
const QUARANTINE: Duration = Duration::from_secs(300);
/// The most quarantined processes that are remembered.
const MOST_QUARANTINED: usize = 256;
/// The most readers that wait in the kernel and cannot be killed; beyond that no other is started.
const MOST_STUCK: usize = 4;
/// The interval at which stuck readers are reaped.
const REAP: Duration = Duration::from_secs(1);
/// The most readers that answer at the same time.
const MOST_BUSY: usize = 6;

/// Name and meaning of the loss that [`Readers::loss`] counts.
pub const NOT_READ: (&str, &str) =
    ("not_read", "reads of a process whose files or mounts hang or crash a reader process");

/// Counts since the start of the daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Readers that were started.
    pub started: u64,
    /// Readers that were killed because they hung.
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
    /// The oldest entry first.
    quarantined: VecDeque<(Identity, Instant)>,
    counts: Counts,
}

/// Pid and start time in clock ticks since boot.
type Identity = (u32, u64);

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

    /// The requests without an answer, if there are any.
    pub fn loss(&self) -> Option<Loss> {
        let (name, meaning) = NOT_READ;
        let count = self.lock().counts.unanswered;
        (count > 0).then(|| Loss { name: name.to_owned(), count, meaning: meaning.to_owned() })
    }

    /// The pids of idle and stuck readers.
    #[cfg(test)]
    fn pids(&self) -> Vec<u32> {
        let state = self.lock();
        state.idle.iter().chain(&state.stuck).map(Process::pid).collect()
    }

    /// Sends a request to a reader, and waits for the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn ask(&self, ask: &Ask, patience: Duration) -> Result<Answer, NotRead> {
        let answer = self.answer(ask, patience);
        // A process that ended is no loss.
        if answer.as_ref().is_err_and(|why| *why != NotRead::Gone) {
            self.lock().counts.unanswered += 1;
        }
        answer
    }

    fn answer(&self, ask: &Ask, patience: Duration) -> Result<Answer, NotRead> {
        let who = self.identity(ask.pid())?;
        let idle = self.lock().take(who)?;
        let was_idle = idle.is_some();
        let mut end = self.try_one(idle, ask, patience);
        if was_idle && matches!(end, End::Died(_)) {
            // It may have died while it was idle, for example by an OOM kill.
            end = self.try_one(None, ask, patience);
        }
        // If the pid was reused meanwhile, the answer is about another process.
        let is_same = self.identity(ask.pid()) == Ok(who);
        let mut state = self.lock();
        state.busy = state.busy.saturating_sub(1);
        let why = match end {
            End::Answered(process, answer) => {
                let other = state.idle.replace(process);
                drop(state);
                self.end(other);
                return if is_same { Ok(answer) } else { Err(NotRead::Gone) };
            }
            End::None(error) => return Err(NotRead::NoReader(error)),
            End::Late => NotRead::Late(patience),
            End::Died(error) => NotRead::Died(error),
        };
        match why {
            NotRead::Late(_) => state.counts.late += 1,
            _ => state.counts.died += 1,
        }
        state.quarantine(who);
        drop(state);
        tracing::warn!(pid = who.0, %why, "failed to read a process; it is not read again for {} s", QUARANTINE.as_secs());
        Err(why)
    }

    fn try_one(&self, idle: Option<Process>, ask: &Ask, patience: Duration) -> End {
        let mut process = match idle.map_or_else(|| self.started(), Ok) {
            Ok(process) => process,
            Err(error) => return End::None(error.to_string()),
        };
        match process.ask(ask, patience) {
            Ok(answer) => End::Answered(process, answer),
            Err(failure) => {
                self.end(Some(process));
                match failure {
                    Failure::Late => End::Late,
                    Failure::Died(error) => End::Died(error.to_string()),
                }
            }
        }
    }

    fn started(&self) -> io::Result<Process> {
        let (answer, answered) = channel();
        let gone = || io::Error::other("the thread that starts readers is gone");
        self.0.starter.send(answer).map_err(|_| gone())?;
        let process = answered.recv().map_err(|_| gone())??;
        self.lock().counts.started += 1;
        Ok(process)
    }

    /// Kills it; keeps it in the list of stuck readers if it does not exit.
    fn end(&self, process: Option<Process>) {
        if let Some(stuck) = process.and_then(Process::kill) {
            self.lock().stuck.push(stuck);
        }
    }

    fn identity(&self, pid: u32) -> Result<Identity, NotRead> {
        self.0.procfs.stat(pid).map(|stat| (pid, stat.start_ticks)).map_err(|_| NotRead::Gone)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }
}

enum End {
    Answered(Process, Answer),
    Late,
    Died(String),
    /// No reader could be started.
    None(String),
}

impl State {
    /// Reserves a reader: the idle one, or `None` when the caller is to start one.
    fn take(&mut self, who: Identity) -> Result<Option<Process>, NotRead> {
        self.quarantined.retain(|(_, since)| since.elapsed() < QUARANTINE);
        if self.quarantined.iter().any(|(left, _)| *left == who) {
            return Err(NotRead::Quarantined);
        }
        self.reap();
        if self.stuck.len() >= MOST_STUCK || self.busy >= MOST_BUSY {
            return Err(NotRead::TooMany { stuck: self.stuck.len(), busy: self.busy });
        }
        self.busy += 1;
        Ok(self.idle.take())
    }

    fn reap(&mut self) {
        self.stuck.retain_mut(|process| !process.has_ended());
    }

    fn quarantine(&mut self, who: Identity) {
        self.quarantined.push_back((who, Instant::now()));
        if self.quarantined.len() > MOST_QUARANTINED {
            self.quarantined.pop_front();
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts readers on request, and reaps stuck ones.
fn keep(program: &Path, wanted: &Receiver<Sender<io::Result<Process>>>, state: &Mutex<State>, beat: &Beat) {
    loop {
        match beat.wait(|| wanted.recv_timeout(REAP)) {
            // The receiver waits for it, unless the daemon is ending.
            Ok(answer) => drop(answer.send(Process::start(program))),
            Err(RecvTimeoutError::Timeout) => lock(state).reap(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
