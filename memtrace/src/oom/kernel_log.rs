//! Kills as the kernel log tells them: for those that nobody saw happen.
//!
//! Input: records of /dev/kmsg. Output: [`LoggedKill`]s, and the [`OomRecord`]s that can be made of them. Pure: `daemon`
//! reads the log. Lines of others come in between, reports are left out (the kernel makes ten in five seconds at most)
//! and any line may be missing; the line that says "Killed process" is enough for a kill.

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

/// Members of a group that is killed as one die within so many microseconds of each other.
const GROUP: u64 = 1_000_000;
/// The log's clock and the boot clock run apart by at most so much: both are disciplined, but not together
/// (`CLOCK_BOOTTIME` may be slewed by 500 ppm).
const DRIFT: f64 = 500e-6;
/// And this much they may be apart in any case.
const SLACK: u64 = 5_000_000_000;

/// A kill as the log has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoggedKill {
    /// Number of its record in the log.
    pub sequence: u64,
    /// Microseconds of the log's clock: since boot, without suspend.
    pub microseconds: u64,
    /// Id of the thread whose address space it was.
    pub tid: u32,
    /// Its name, escaped.
    pub comm: String,
    /// Its user.
    pub uid: Option<u32>,
    /// -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// What it held.
    pub held: Held,
    /// Whether the line says that a memory cgroup was out of memory; `None` when it says neither.
    pub is_memcg: Option<bool>,
    /// The report before it, if the kernel made one.
    pub report: Option<Report>,
    /// The others of its group, killed with it.
    pub others: Vec<LoggedKill>,
}

/// The sizes of a "Killed process" line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Mapped.
    pub total: Option<Bytes>,
    /// Anonymous.
    pub anon: Option<Bytes>,
    /// Of files.
    pub file: Option<Bytes>,
    /// Shared.
    pub shmem: Option<Bytes>,
    /// Page tables.
    pub page_tables: Option<Bytes>,
}

/// What the kernel reports before a kill.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Name of who asked for memory, escaped.
    pub invoker: Option<String>,
    /// Its thread id.
    pub invoker_tid: Option<u32>,
    /// What the group at its limit used, its limit, and how often charges failed there.
    pub usage: Option<Bytes>,
    /// See `usage`.
    pub limit: Option<Bytes>,
    /// See `usage`.
    pub fail_count: Option<u64>,
    /// The victim's group, escaped.
    pub victim_cgroup: Option<String>,
    /// Everything else.
    pub dump: Dump,
}

/// Reads the log, line by line.
#[derive(Debug, Default)]
pub struct Reader {
    dump: dump::Reader,
    /// The report that is being printed.
    report: Report,
    /// A report that is complete and waits for its kill.
    ready: Option<Report>,
    /// The last kill: more of its group may follow.
    last: Option<LoggedKill>,
    in_group: bool,
}

impl Reader {
    /// Takes a record of /dev/kmsg; gives the kill that is complete with it. A kill is complete when the next one, or
    /// the next report, begins: [`Self::flush`] gives the last.
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
        // A report is of the kill that follows it, and names its victim: by its leader, where that has not ended.
        let is_its = |report: &Report| report.dump.victim.is_none_or(|victim| victim == kill.tid);
        kill.report = self.ready.take().filter(is_its);
        match &mut self.last {
            Some(first) if self.in_group && microseconds.abs_diff(first.microseconds) < GROUP => {
                first.others.push(kill);
                None
            }
            _ => {
                self.in_group = false;
                self.last.replace(kill)
            }
        }
    }

    /// The last kill, once nothing more of its group is to come.
    pub fn flush(&mut self) -> Option<LoggedKill> {
        self.in_group = false;
        self.last.take()
    }
}

/// This boot: what turns the log's clock into time.
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
    /// When, on the boot clock.
    pub fn ktime(&self, kill: &LoggedKill) -> u64 {
        kill.microseconds.saturating_mul(1000).saturating_add(self.suspended_ns)
    }
}

/// A recorded kill, as far as it is needed to know it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Id of its record.
    pub id: String,
    /// Thread ids of its victims.
    pub tids: Vec<u32>,
    /// When, on the boot clock.
    pub ktime_ns: u64,
}

impl Trace {
    /// Of a record.
    pub fn of(record: &OomRecord) -> Self {
        let others = record.circumstances.more_victims.iter().map(|victim| victim.task.tid);
        Self {
            id: record.id.clone(),
            tids: std::iter::once(record.victim.task.tid).chain(others).collect(),
            ktime_ns: record.ktime_ns,
        }
    }

    /// How far apart it and a kill of this thread are, in nanoseconds; `None` when they are two kills.
    pub fn distance(&self, tid: u32, ktime_ns: u64) -> Option<u64> {
        let distance = self.ktime_ns.abs_diff(ktime_ns);
        let allowed = SLACK.saturating_add((self.ktime_ns.max(ktime_ns) as f64 * DRIFT) as u64);
        (self.tids.contains(&tid) && distance <= allowed).then_some(distance)
    }
}
