//! Missed kills: found in the kernel log and recorded from it, never twice.
//!
//! Input: [`Kmsg`] from its beginning, and the existing records. Output: logged kills without a record after `GRACE`,
//! and the ids of backfilled records whose kill the tracer did see. Does not store anything.

use std::{
    collections::VecDeque,
    fs,
    io::ErrorKind,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use memtrace_common::event::oom::OomKill;

use super::kmsg::Kmsg;
use crate::{
    cgroup::hierarchy::Hierarchy,
    clock,
    oom::{
        dump::Dump,
        kernel_log::{Boot, LoggedKill, Reader, Trace, record},
        record::{OomRecord, circumstances::Source},
    },
};

/// How long a logged kill waits for the kernel programs. They are faster, unless the daemon gets no CPU time.
const GRACE: Duration = Duration::from_secs(3);
/// The most log records read at once: a flood of the log must not delay a kill.
const MOST_RECORDS: usize = 20_000;
/// The most traces that are kept; a kill older than all of them was decided long ago.
const MOST_TRACES: usize = 20_000;

/// The facts of this boot that records need.
pub fn boot(id: String, hierarchy: Option<&Hierarchy>) -> Boot {
    Boot {
        id,
        now: (Timestamp::now(), clock::ktime()),
        suspended_ns: clock::suspended(),
        cgroup_version: hierarchy.map(Hierarchy::version_number),
        page_size: rustix::param::page_size() as u64,
    }
}

#[derive(Debug)]
pub struct Backfill {
    log: Option<Kmsg>,
    reader: Reader,
    boot: Boot,
    /// Logged kills without a record yet, with the time when they were read.
    pending: VecDeque<(Instant, LoggedKill)>,
    /// Recorded kills that were not yet found in the log.
    recorded: VecDeque<Trace>,
    /// Kills that were recorded from the log.
    backfilled: VecDeque<Trace>,
    /// The victims of all recorded kills.
    known: usize,
}

impl Backfill {
    /// Reads the log from its beginning, as soon as the daemon runs: in a storm it is overwritten within seconds.
    pub fn start(boot: Boot) -> Self {
        let log = Kmsg::from_the_beginning()
            .inspect_err(
                |error| tracing::warn!(%error, "failed to read the kernel log; missed OOM kills are not recorded"),
            )
            .ok();
        let mut backfill = Self {
            log,
            reader: Reader::default(),
            boot,
            pending: VecDeque::new(),
            recorded: VecDeque::new(),
            backfilled: VecDeque::new(),
            known: 0,
        };
        backfill.read(Instant::now());
        backfill
    }

    /// Takes a recorded kill of this boot.
    pub fn know(&mut self, record: &OomRecord) {
        let trace = Trace::of(record);
        self.known += trace.tids.len();
        // Each logged kill of a group has its own trace; a trace without one stays in `recorded`.
        while let Some(index) = self.pending_of(&trace) {
            self.pending.remove(index);
        }
        // The ring of an earlier daemon may have it.
        if record.circumstances.source == Source::KernelLog {
            push(&mut self.backfilled, trace.clone());
        }
        push(&mut self.recorded, trace);
    }

    /// The kernel's report of a kill that is not recorded yet.
    pub fn report(&self, kill: &OomKill) -> Option<Dump> {
        let trace = Trace { id: String::new(), tids: vec![kill.victim.tid], ktime_ns: kill.header.ktime };
        let (_, logged) = self.pending.get(self.pending_of(&trace)?)?;
        Some(logged.report.as_ref()?.dump.clone())
    }

    /// Logs how many kills are neither in the store nor in the kernel log.
    pub fn tell_unrecorded(&self) {
        let known = self.known + self.pending.iter().map(|(_, kill)| 1 + kill.others.len()).sum::<usize>();
        let counted = fs::read_to_string("/proc/vmstat").ok().and_then(|text| kills_counted(&text));
        if let Some(more) =
            counted.and_then(|counted| counted.checked_sub(known as u64)).filter(|more| *more > 0)
        {
            tracing::info!(
                kills = more,
                "the kernel counts more OOM kills since boot than are recorded or in its log: they happened before memtrace \
                 was installed, or their log lines were overwritten"
            );
        }
    }

    fn pending_of(&self, trace: &Trace) -> Option<usize> {
        nearest(trace, self.pending.iter().map(|(_, kill)| (kill.tid, self.boot.ktime(kill))))
    }

    /// Records of the logged kills that the tracer did not report in time.
    pub fn missed(&mut self, now: Instant) -> Vec<OomRecord> {
        let mut missed = Vec::new();
        while let Some((since, _)) = self.pending.front()
            && now.duration_since(*since) >= GRACE
        {
            let Some((_, kill)) = self.pending.pop_front() else { break };
            let record = record(&kill, &self.boot);
            push(&mut self.backfilled, Trace::of(&record));
            missed.push(record);
        }
        missed
    }

    /// Takes a kill that the kernel programs saw. Returns the id of its backfilled record, which must be replaced, if
    /// there is one.
    pub fn seen(&mut self, record: &OomRecord) -> Option<String> {
        let trace = Trace::of(record);
        self.known += trace.tids.len();
        if let Some(index) = nearest(&trace, self.backfilled.iter().map(first)) {
            return self.backfilled.remove(index).map(|old| old.id);
        }
        match self.pending_of(&trace) {
            Some(index) => drop(self.pending.remove(index)),
            None => push(&mut self.recorded, trace),
        }
        None
    }

    /// Reads new log records.
    pub fn read(&mut self, now: Instant) {
        let Some(mut log) = self.log.take() else { return };
        let mut record = [0; 8192];
        for _ in 0..MOST_RECORDS {
            match log.read(&mut record) {
                Ok(length) => {
                    let kill = self.reader.take(record.get(..length).unwrap_or_default());
                    self.decide(now, kill);
                }
                // The buffer was overwritten before it was read.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {
                    tracing::warn!(
                        "lines of the kernel log were overwritten before they were read; some missed OOM kills may not be recorded"
                    );
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    let kill = self.reader.flush();
                    self.decide(now, kill);
                    break;
                }
            }
        }
        self.log = Some(log);
    }

    /// Matches a logged kill with a recorded one, or keeps it pending.
    fn decide(&mut self, now: Instant, kill: Option<LoggedKill>) {
        let Some(kill) = kill else { return };
        let at = self.boot.ktime(&kill);
        let distances = self
            .recorded
            .iter()
            .enumerate()
            .filter_map(|(index, trace)| Some((trace.distance(kill.tid, at)?, index)));
        match distances.min() {
            Some((_, index)) => drop(self.recorded.remove(index)),
            None => self.pending.push_back((now, kill)),
        }
    }
}

/// Parses `oom_kill 12` of /proc/vmstat: all kills since boot.
fn kills_counted(vmstat: &str) -> Option<u64> {
    vmstat.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

fn first(trace: &Trace) -> (u32, u64) {
    (trace.tids.first().copied().unwrap_or_default(), trace.ktime_ns)
}

/// The index of the kill that matches this record.
fn nearest(trace: &Trace, kills: impl Iterator<Item = (u32, u64)>) -> Option<usize> {
    let distances =
        kills.enumerate().filter_map(|(index, (tid, at))| Some((trace.distance(tid, at)?, index)));
    distances.min().map(|(_, index)| index)
}

fn push(traces: &mut VecDeque<Trace>, trace: Trace) {
    traces.push_back(trace);
    if traces.len() > MOST_TRACES {
        traces.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::kills_counted;

    #[test]
    fn the_kernel_counts_kills() {
        assert_eq!(kills_counted("nr_free_pages 1\noom_kill 12\noom_killer 3\n"), Some(12));
        assert_eq!(kills_counted(""), None);
    }
}
