//! The tracer's status, losses and costs: a part of every snapshot.
//!
//! Plain values with a JSON form.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{ingest::loss::Loss, units::Bytes};

/// The tracer's status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tracer {
    /// When it started.
    pub started: Timestamp,
    /// Events handled since then.
    pub events: u64,
    /// Times that it was woken by events before the next regular read of the ring buffers.
    #[serde(default)]
    pub wakeups: u64,
    /// 1 in this many page faults is sampled at a low rate; 0 when none is.
    pub fault_period: u64,
    /// The number of faults per sample in the last second: more than `fault_period` at a high rate. 0 without samples.
    #[serde(default)]
    pub fault_period_now: u64,
    /// Number of facts with an attached hook.
    pub hooks_attached: usize,
    /// Number of all facts.
    pub hooks_total: usize,
    /// OOM kills recorded since the start.
    pub kills: u64,
    /// OOM marks that were no kills.
    pub bare_marks: u64,
    /// Kills that are not durable yet.
    pub kills_not_stored: u64,
    /// The state of the store.
    #[serde(default)]
    pub store: StoreState,
    /// The losses.
    pub losses: Vec<Loss>,
    /// Statistics of page-table reads.
    pub scans: Scans,
    /// Statistics of stack copies.
    #[serde(default)]
    pub walks: Walks,
    /// The memory budget, and what it is used for.
    #[serde(default)]
    pub memory: MemoryUse,
}

impl Tracer {
    /// The sampling of page faults, as `1 of 64`, with the current number of faults per sample if it is larger.
    pub fn sampling(&self) -> Option<String> {
        let Self { fault_period, fault_period_now, .. } = *self;
        match (fault_period, fault_period_now) {
            (0, _) => None,
            (period, now) if now > period => Some(format!("1 of {period}, now of {now}")),
            (period, _) => Some(format!("1 of {period}")),
        }
    }
}

/// The state of the store of kills, as far as it is the daemon's concern.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoreState {
    /// Why nothing can be stored now; `None` while it works.
    pub problem: Option<String>,
    /// How often since the daemon's start the store's files were lost, replaced or damaged, and it was opened again.
    pub renewals: u64,
    /// When and why that happened last, in words.
    pub last_renewal: Option<String>,
    /// Readings that are missing in the history that lasts, because the node has more workloads or cgroups than are
    /// followed.
    pub history_readings_dropped: u64,
    /// Five-minute rows of that history which waited for the store until there was no room.
    pub history_rows_dropped: u64,
}

impl StoreState {
    /// What is wrong or was, in words; empty while nothing happened.
    pub fn describe(&self) -> Vec<String> {
        let problem = self.problem.iter().map(|why| format!("STORE: {why}"));
        let last = self.last_renewal.iter();
        let last = last.map(|last| format!("store opened again {} times; last: {last}", self.renewals));
        let readings = match self.history_readings_dropped {
            0 => None,
            count => Some(format!(
                "HISTORY: {count} readings have no room in the history that `memtrace advise` reads: the node has more \
                 workloads or cgroups than are followed"
            )),
        };
        let rows = match self.history_rows_dropped {
            0 => None,
            count => Some(format!(
                "HISTORY: {count} five-minute rows of workloads were dropped, because they could not be stored"
            )),
        };
        problem.chain(last).chain(readings).chain(rows).collect()
    }
}

/// Statistics of walks of stack copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walks {
    /// Copies that were walked.
    pub done: u64,
    /// Copies that were dropped for lack of time: the previous walk stands for them, as for samples without a copy.
    pub passed_over: u64,
    /// Samples of threads whose stack could not be read, mostly because it did not exist yet or any more.
    pub unreadable: u64,
}

/// The reading of page tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scans {
    /// Processes whose address spaces are tracked.
    pub followed: usize,
    /// Memory used for that.
    pub followed_bytes: Bytes,
    /// Reads so far.
    pub done: u64,
    /// Time spent on reads, in seconds.
    pub seconds: f64,
    /// Reads of pages only, without mappings (`PAGEMAP_SCAN`).
    #[serde(default)]
    pub by_pages: u64,
    /// Time spent on these, in seconds.
    #[serde(default)]
    pub by_pages_seconds: f64,
    /// CPU limit of reads, in percent of one CPU.
    pub share_percent: u32,
    /// CPU use of the whole daemon.
    #[serde(default)]
    pub cpu: Cpu,
}

/// The memory budget of the daemon and its readers, and what was given up to keep within it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryUse {
    /// The budget; 0 in snapshots of older versions.
    pub budget_bytes: Bytes,
    /// Resident memory of the daemon and private memory of its readers; `None` when not read.
    pub resident_bytes: Option<Bytes>,
    /// Memory used by address spaces.
    pub spaces_bytes: Bytes,
    /// Their share of the budget.
    pub spaces_share_bytes: Bytes,
    /// Processes of which only totals are known now, because their address spaces did not fit.
    pub totals_only: usize,
    /// How often a process fell back to totals since the start.
    pub given_up: u64,
}

impl MemoryUse {
    /// A description in words.
    pub fn describe(&self) -> String {
        let Self { budget_bytes, resident_bytes, spaces_bytes, spaces_share_bytes, totals_only, given_up } =
            *self;
        let resident = resident_bytes.map_or_else(|| "?".to_owned(), |bytes| bytes.to_string());
        let mut text = format!(
            "memtrace holds {resident} (budget {budget_bytes}), {spaces_bytes} of it address spaces (at most \
             {spaces_share_bytes})"
        );
        if totals_only > 0 {
            text.push_str(&format!(", TOTALS ONLY: {totals_only} processes have too many mappings for it"));
        } else if given_up > 0 {
            text.push_str(&format!("; {given_up} times a process was shown with totals only"));
        }
        text
    }
}

/// CPU use of the daemon, and how far it has reduced its work to stay within its budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cpu {
    /// CPU budget in percent of one CPU; 0: no limit.
    pub budget_percent: u32,
    /// Recent CPU use.
    pub used_percent: Option<f64>,
    /// Number of reduction steps: first page tables are read less often, then fewer page faults are sampled, then fewer
    /// calls of each process are streamed.
    pub step: usize,
    /// 1 in 2^`fault_shift` samples is taken.
    pub fault_shift: u32,
    /// The event budget of a process is divided by 2^`budget_shift`.
    pub budget_shift: u32,
}

impl Cpu {
    /// A description in words.
    pub fn describe(&self) -> String {
        let Self { budget_percent, used_percent, step, fault_shift, budget_shift } = *self;
        let used = used_percent.map_or_else(|| "?".to_owned(), |used| format!("{used:.1}"));
        let budget =
            if budget_percent == 0 { "no budget".to_owned() } else { format!("budget {budget_percent}%") };
        let mut text = format!("memtrace uses {used}% of one CPU ({budget})");
        if step == 0 {
            return text;
        }
        text.push_str(", REDUCED: page tables are read less often");
        if fault_shift > 0 {
            text.push_str(&format!(", faults are sampled {} times less often", 1_u64 << fault_shift.min(63)));
        }
        if budget_shift > 0 {
            text.push_str(&format!(", event budgets are divided by {}", 1_u64 << budget_shift.min(63)));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::StoreState;

    #[test]
    fn a_store_tells_what_is_missing_and_nothing_else() {
        assert!(StoreState::default().describe().is_empty());
        let state =
            StoreState { history_readings_dropped: 12, history_rows_dropped: 3, ..StoreState::default() };
        let told = state.describe();
        assert!(
            told.len() == 2 && told[0].contains("12 readings") && told[1].contains("3 five-minute rows"),
            "{told:?}"
        );
    }
}
