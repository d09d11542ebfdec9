//! Kills from the kernel log, for those that the tracer missed.
//!
//! Input: records of /dev/kmsg. Output: [`LoggedKill`]s, and [`OomRecord`]s made from them. Pure: `daemon` reads the
//! log. Other lines may come in between, reports may be left out (the kernel makes at most ten in five seconds) and any
//! line may be missing; the line "Killed process" is enough for a kill.

mod line;
mod logged_record;
#[cfg(test)]
mod tests;

use jiff::Timestamp;

pub use self::{
    line::{Line, parse},
    logged_record::record,
};
use super::{
    dump::{self, Dump},
    record::OomRecord,
};
use crate::units::Bytes;

/// Members of a group that is killed as a whole die within this time, in µs.
const GROUP: u64 = 1_000_000;
/// The most members that are kept with the first; further ones are kills of their own.
const MOST_MEMBERS: usize = 4096;
/// The largest relative drift between the log's clock and the boot clock: both are disciplined, but not together
/// (`CLOCK_BOOTTIME` may be slewed by 500 ppm).
const DRIFT: f64 = 500e-6;
/// The difference that is always allowed, in ns.
const SLACK: u64 = 5_000_000_000;

/// A kill in the log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoggedKill {
    /// Number of its record in the log.
    pub sequence: u64,
    /// Time of the log's clock, in µs since boot without suspend.
    pub microseconds: u64,
    /// Id of the thread in the line, whose address space is freed.
    pub tid: u32,
    /// Its name, escaped.
    pub comm: String,
    /// Its user.
    pub uid: Option<u32>,
    /// -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// The sizes of its memory.
    pub held: Held,
    /// Whether a memory cgroup was out of memory; `None` when the line does not say.
    pub is_memcg: Option<bool>,
    /// The report before it, if the kernel made one.
    pub report: Option<Report>,
    /// Other members of its group, killed with it.
    pub others: Vec<LoggedKill>,
}

/// The sizes of a "Killed process" line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Mapped.
    pub total: Option<Bytes>,
    /// Anonymous.
    pub anon: Option<Bytes>,
    /// File pages.
    pub file: Option<Bytes>,
    /// Shared memory.
    pub shmem: Option<Bytes>,
    /// Page tables.
    pub page_tables: Option<Bytes>,
}

/// The kernel's report before a kill.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Name of the trigger, escaped.
    pub invoker: Option<String>,
    /// Its thread id.
    pub invoker_tid: Option<u32>,
    /// Usage of the group at its limit.
    pub usage: Option<Bytes>,
    /// See `usage`.
    pub limit: Option<Bytes>,
    /// See `usage`.
    pub fail_count: Option<u64>,
    /// Cgroup of the victim, escaped.
    pub victim_cgroup: Option<String>,
    /// The rest of the report.
    pub dump: Dump,
}

/// Parses the log, line by line.
#[derive(Debug, Default)]
pub struct Reader {
    dump: dump::Reader,
    /// The report that is being printed.
    report: Report,
    /// A complete report that waits for its kill.
    ready: Option<Report>,
    /// The last kill; more members of its group may follow.
    last: Option<LoggedKill>,
    in_group: bool,
}

impl Reader {
    /// Takes a record of /dev/kmsg. Returns a kill that is now complete: a kill is complete when the next one, or the
    /// next report, begins. [`Self::flush`] returns the last one.
    pub fn take(&mut self, bytes: &[u8]) -> Option<LoggedKill> {
        let line = parse(bytes)?;
        let Line { sequence, microseconds, text } = &line;
        if let Some((name, _)) = text.split_once(" invoked oom-killer: ") {
            self.report = Report { invoker: Some(line::unescape(name)), ..Report::default() };
            (self.ready, self.in_group) = (None, false);
            self.dump.take(text);
            return self.last.take();
        }
        if text.contains(" are going to be killed due to memory.oom.group set") {
            self.in_group = true;
            return None;
        }
        line::report(text, &mut self.report);
        if let Some(dump) = self.dump.take(text) {
            self.ready = Some(Report { dump, ..std::mem::take(&mut self.report) });
            return None;
        }
        let mut kill = line::killed(text)?;
        (kill.sequence, kill.microseconds) = (*sequence, *microseconds);
        // A report belongs to the kill that follows it. It has the pid of the victim, or the thread id if the leader
        // has ended.
        let is_its = |report: &Report| report.dump.victim.is_none_or(|victim| victim == kill.tid);
        kill.report = self.ready.take().filter(is_its);
        match &mut self.last {
            Some(first)
                if self.in_group
                    && microseconds.abs_diff(first.microseconds) < GROUP
                    && first.others.len() < MOST_MEMBERS =>
            {
                first.others.push(kill);
                None
            }
            _ => {
                self.in_group = false;
                self.last.replace(kill)
            }
        }
    }

    /// Takes the last kill, when no more members of its group can follow.
    pub fn flush(&mut self) -> Option<LoggedKill> {
        self.in_group = false;
        self.last.take()
    }
}

/// The facts of this boot that convert the log's clock to time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// Its id.
    pub id: String,
    /// The wall clock and the boot clock at one instant.
    pub now: (Timestamp, u64),
    /// Nanoseconds in suspend since boot; the log's clock stops then.
    pub suspended_ns: u64,
    /// Version of the memory controller's interface.
    pub cgroup_version: Option<u8>,
    /// Bytes of a page.
    pub page_size: u64,
}

impl Boot {
    /// Time of the kill on the boot clock, in ns.
    pub fn ktime(&self, kill: &LoggedKill) -> u64 {
        kill.microseconds.saturating_mul(1000).saturating_add(self.suspended_ns)
    }
}

/// The facts of a recorded kill that identify it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Id of its record.
    pub id: String,
    /// Thread ids of its victims.
    pub tids: Vec<u32>,
    /// Time of the kill on the boot clock, in ns.
    pub ktime_ns: u64,
}

impl Trace {
    /// The trace of a record.
    pub fn of(record: &OomRecord) -> Self {
        let others = record.circumstances.more_victims.iter().map(|victim| victim.task.tid);
        Self {
            id: record.id.clone(),
            tids: std::iter::once(record.victim.task.tid).chain(others).collect(),
            ktime_ns: record.ktime_ns,
        }
    }

    /// The time between it and a kill of this thread, in ns; `None` when they are different kills.
    pub fn distance(&self, tid: u32, ktime_ns: u64) -> Option<u64> {
        let distance = self.ktime_ns.abs_diff(ktime_ns);
        let allowed = SLACK.saturating_add((self.ktime_ns.max(ktime_ns) as f64 * DRIFT) as u64);
        (self.tids.contains(&tid) && distance <= allowed).then_some(distance)
    }
}
