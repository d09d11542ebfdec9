//! A snapshot whose target was read again just now.
//!
//! The daemon's snapshot and a reading of its target -> the daemon's snapshot with the figures of the reading. What needs
//! time (growth, call stacks, names) stays. Pure.

use std::sync::Arc;

use super::Subject;
use crate::snapshot::{ArenaRow, ContainerRow, Memory, ProcessRow, Snapshot};

/// Starts of one process, computed twice, differ by less, in milliseconds.
const ONE_START: u128 = 100;

/// Puts the processes and charges of `subject`, which is of the reading, into the daemon's snapshot.
pub fn refresh(daemon: &mut Snapshot, fresh: &Snapshot, subject: &Subject<'_>) {
    for read in subject.members(fresh) {
        let old = daemon.processes.iter().position(|row| is_same(row, read));
        match old.and_then(|index| daemon.processes.get_mut(index)) {
            Some(row) => *row = Arc::new(renewed(row, read)),
            None => daemon.processes.push(Arc::new(read.clone())),
        }
    }
    // A process that has ended since is not part of the target any more.
    let pids: Vec<u32> = fresh.rows().map(|row| row.pid).collect();
    daemon.processes.retain(|row| pids.contains(&row.pid));
    for row in &mut daemon.containers {
        if let Some(read) = fresh.containers.iter().find(|read| read.cgroup == row.cgroup) {
            recharge(row, read);
        }
    }
    daemon.time = fresh.time;
}

fn is_same(one: &ProcessRow, other: &ProcessRow) -> bool {
    let starts = one.started.zip(other.started);
    let is_start = starts.is_none_or(|(one, other)| {
        one.as_millisecond().abs_diff(other.as_millisecond()) as u128 <= ONE_START
    });
    one.pid == other.pid && is_start
}

/// The reading, with what only time shows.
fn renewed(old: &ProcessRow, read: &ProcessRow) -> ProcessRow {
    ProcessRow {
        growth_bytes_per_second: old.growth_bytes_per_second,
        growth_window_seconds: old.growth_window_seconds,
        memory: match (&old.memory, &read.memory) {
            (Some(old), Some(read)) => Some(Memory {
                growth_stacks: old.growth_stacks.clone(),
                arenas: read.arenas.iter().map(|row| grown(row, &old.arenas)).collect(),
                ..read.clone()
            }),
            (old, read) => read.clone().or_else(|| old.clone()),
        },
        ..read.clone()
    }
}

fn grown(row: &ArenaRow, old: &[ArenaRow]) -> ArenaRow {
    let same = old.iter().find(|old| (&old.allocator, &old.kind) == (&row.allocator, &row.kind));
    ArenaRow { growth_bytes: same.map_or(row.growth_bytes, |old| old.growth_bytes), ..row.clone() }
}

fn recharge(row: &mut ContainerRow, read: &ContainerRow) {
    if read.charge.is_some() {
        row.charge.clone_from(&read.charge);
        row.charge_age_seconds = read.charge_age_seconds;
        row.usage_bytes = read.usage_bytes.or(row.usage_bytes);
        row.limit = read.limit.clone().or_else(|| row.limit.clone());
    }
    row.processes = read.processes;
    row.rss_bytes = read.rss_bytes;
}
