//! Kills that the daemon did not see: found in the kernel log, recorded from it, never twice.
//!
//! Input: [`Kmsg`] from its beginning, and the records that there are. Output: kills of the log that nobody recorded
//! within [`GRACE`], and the ids of those that turn out to have been seen after all. Does not store anything.

use std::{
    collections::VecDeque,
    fs,
    io::ErrorKind,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::kmsg::Kmsg;
use crate::{
    cgroup::hierarchy::Hierarchy,
    clock,
    oom::{
        kernel_log::{Boot, LoggedKill, Reader, Trace, record},
        record::OomRecord,
    },
};

/// How long the log waits for the kernel programs: they are faster, unless the daemon gets no time to run.
const GRACE: Duration = Duration::from_secs(3);
/// Records that one look reads at most: a flood of the log must not hold up a kill.
const MOST_RECORDS: usize = 20_000;
/// Traces that are kept; a kill that is older than all of them was decided long ago.
const MOST_TRACES: usize = 20_000;

/// This boot, now.
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
    /// Kills of the log that nobody has recorded yet, with the time of their reading.
    pending: VecDeque<(Instant, LoggedKill)>,
    /// What is recorded, and not yet found in the log.
    recorded: VecDeque<Trace>,
    /// What was recorded from the log.
    backfilled: VecDeque<Trace>,
}

impl Backfill {
    /// Reads the log from its beginning, as soon as the daemon runs: in a storm it goes round within seconds.
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
        };
        backfill.read(Instant::now());
        backfill
    }

    /// What the store has of this boot. Says how many kills are neither there nor in the log.
    pub fn know(&mut self, recorded: impl IntoIterator<Item = Trace>) {
        let mut known = 0;
        for trace in recorded {
            known += trace.tids.len();
            // Each line of a group has its own; what is of none of them stays known.
            while let Some(index) = self.pending_of(&trace) {
                self.pending.remove(index);
            }
            push(&mut self.recorded, trace);
        }
        let known = known + self.pending.iter().map(|(_, kill)| 1 + kill.others.len()).sum::<usize>();
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

    /// The kills of the log that nobody else has recorded in time.
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

    /// A kill was seen by the kernel programs. Where it was recorded from the log already, that record's id: it is to be
    /// replaced.
    pub fn seen(&mut self, record: &OomRecord) -> Option<String> {
        let trace = Trace::of(record);
        if let Some(index) = nearest(&trace, self.backfilled.iter().map(first)) {
            return self.backfilled.remove(index).map(|old| old.id);
        }
        match self.pending_of(&trace) {
            Some(index) => drop(self.pending.remove(index)),
            None => push(&mut self.recorded, trace),
        }
        None
    }

    /// Reads on.
    pub fn read(&mut self, now: Instant) {
        let Some(mut log) = self.log.take() else { return };
        let mut record = [0; 8192];
        for _ in 0..MOST_RECORDS {
            match log.read(&mut record) {
                Ok(length) => {
                    let kill = self.reader.take(record.get(..length).unwrap_or_default());
                    self.decide(now, kill);
                }
                // The buffer went round before it was read.
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

    /// Takes a kill of the log for one that is recorded, or lets it wait.
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

/// `oom_kill 12` of /proc/vmstat: all kills since boot.
fn kills_counted(vmstat: &str) -> Option<u64> {
    vmstat.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

fn first(trace: &Trace) -> (u32, u64) {
    (trace.tids.first().copied().unwrap_or_default(), trace.ktime_ns)
}

/// The kill that this record is of.
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
