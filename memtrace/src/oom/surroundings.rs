//! Collects the circumstances of a kill from the facts known at that instant.
//!
//! Input: the record so far, the last snapshot, the victim's arenas, history, the kernel's own report. Output:
//! [`Circumstances`]. Pure. The kernel's report, printed just before the mark, is preferred to an older reading.

use std::collections::HashMap;

use jiff::Timestamp;
use memtrace_common::event::oom::OomKill;

use super::{
    dump::{Dump, DumpTask},
    record::{
        OomRecord, TaskFacts,
        circumstances::{Circumstances, Composition, Point, ProcessAtKill, Request, VictimMemory},
    },
};
use crate::{
    cgroup::hierarchy::is_within,
    container::name::Name,
    history::{self, FIGURES, Figure, series},
    model::kill::Copy,
    snapshot::{Memory, ProcessRow, Snapshot, age},
    units::{Bytes, Grade},
};

/// The most processes in a record; the largest are kept.
const MOST_PROCESSES: usize = 64;

/// The facts known at the kill.
#[derive(Clone, Copy)]
pub struct KnownAtKill<'a> {
    /// The last snapshot.
    pub snapshot: &'a Snapshot,
    /// When it was taken, ns since boot.
    pub snapshot_at: u64,
    /// The victim's memory, from the events up to the kill.
    pub victim: Option<&'a Memory>,
    /// Processes that are copies of others.
    pub copies: &'a [Copy],
    /// The kernel's report.
    pub dump: Option<&'a Dump>,
    /// The history of the limit's owner.
    pub history: &'a [series::Point<FIGURES>],
    /// Bytes of a page.
    pub page_size: u64,
}

/// Fills in the circumstances. Reasons for missing parts go to `record.evidence.unknown`.
pub fn surround(record: &mut OomRecord, frozen: &OomKill, known: &KnownAtKill<'_>) {
    let composition = composition(record, frozen, known);
    if composition.is_none() {
        record
            .evidence
            .unknown
            .push("memory of the limit owner by kind: it was not read before the kill".into());
    }
    let victim = known.snapshot.rows().find(|row| Some(row.pid) == record.victim.task.pid);
    if let Some(totals_only) = victim.and_then(|row| row.totals_only).filter(|_| known.victim.is_none()) {
        record.evidence.unknown.push(format!("owners of the victim's memory: {totals_only}"));
    }
    if let Some(why) = known.victim.and_then(|memory| memory.unfinished.as_ref()) {
        record.evidence.unknown.push(format!("some owners of the victim's memory: {why}"));
    }
    let owner = owner_path(record);
    let trigger =
        record.trigger.task.cgroup.clone().filter(|path| record.victim.task.cgroup.as_ref() != Some(path));
    let node = Some(known.snapshot.node.clone()).filter(|node| node.total_bytes.is_some());
    record.circumstances = Circumstances {
        container: record.victim.task.cgroup.as_deref().and_then(|path| name(known.snapshot, path)),
        trigger_container: trigger.and_then(|path| name(known.snapshot, &path)),
        limit_owner_name: owner.as_deref().and_then(|path| name(known.snapshot, path)),
        request: request(frozen, known.dump),
        composition,
        processes: processes(record, frozen, known),
        victim_memory: known.victim.map(|memory| victim_memory(memory, record.time)),
        timeline: timeline(record, frozen.header.ktime, known.history),
        node_age_seconds: node.is_some().then(|| snapshot_age(frozen, known)),
        node,
        ..std::mem::take(&mut record.circumstances)
    };
}

fn owner_path(record: &OomRecord) -> Option<String> {
    record.limit_owner.as_ref()?.path.clone()
}

fn name(snapshot: &Snapshot, path: &str) -> Option<Name> {
    snapshot.containers.iter().find(|row| row.cgroup == path)?.name.as_deref().cloned()
}

/// `enum oom_constraint`, include/linux/oom.h.
fn constraint(number: u32) -> Option<&'static str> {
    ["none", "cpuset", "memory_policy", "memcg"].get(number as usize).copied()
}

fn request(frozen: &OomKill, dump: Option<&Dump>) -> Option<Request> {
    let hook = &frozen.request;
    if hook.is_known == 1 {
        return Some(Request {
            order: Some(hook.order),
            gfp_mask: Some(format!("{:#x}", hook.gfp_mask)),
            constraint: constraint(hook.constraint).map(str::to_owned),
            grade: Some(Grade::Read),
        });
    }
    let Dump { order, gfp_mask, constraint, .. } = dump?;
    Some(Request {
        order: *order,
        gfp_mask: gfp_mask.clone(),
        constraint: constraint.clone(),
        grade: Some(Grade::Read),
    })
}

fn composition(record: &OomRecord, frozen: &OomKill, known: &KnownAtKill<'_>) -> Option<Composition> {
    let owner = owner_path(record)?;
    if let Some(dump) = known.dump.filter(|dump| dump.has_charge && dump.owner.as_ref() == Some(&owner)) {
        // Its table of processes and its charge are of one instant, just before the mark.
        let charge = dump.charge.clone();
        return Some(Composition {
            charge,
            tmpfs: Vec::new(),
            tmpfs_not_read: None,
            grade: Grade::Read,
            age_seconds: 0.0,
        });
    }
    let row = known.snapshot.containers.iter().find(|row| row.cgroup == owner)?;
    // A snapshot holds the last reading of each group's kinds, which may be older than the snapshot.
    let read_before = row.charge_age_seconds.unwrap_or_default();
    Some(Composition {
        charge: row.charge.clone().filter(|charge| charge.anon_bytes.is_some())?,
        tmpfs: Vec::new(),
        tmpfs_not_read: None,
        grade: Grade::Read,
        age_seconds: snapshot_age(frozen, known) + read_before,
    })
}

/// Seconds between the snapshot and the kill.
fn snapshot_age(frozen: &OomKill, known: &KnownAtKill<'_>) -> f64 {
    frozen.header.ktime.saturating_sub(known.snapshot_at) as f64 / 1e9
}

/// The processes under the limit, from the kernel's report, with other known facts.
fn processes(record: &OomRecord, frozen: &OomKill, known: &KnownAtKill<'_>) -> Vec<ProcessAtKill> {
    let owner = owner_path(record);
    let is_under = |row: &&ProcessRow| match (&owner, &row.cgroup) {
        (Some(owner), Some(cgroup)) => is_within(cgroup, owner),
        // For a kill of the node these are all processes.
        (None, _) => record.limit_owner.is_none(),
        (Some(_), None) => false,
    };
    let rows: HashMap<u32, &ProcessRow> = known.snapshot.rows().map(|row| (row.pid, row)).collect();
    let copies: HashMap<u32, &Copy> = known.copies.iter().map(|copy| (copy.pid, copy)).collect();
    let victim = record.victim.task.pid;
    let decorate = |mut process: ProcessAtKill| {
        let pid = process.task.pid;
        process.is_victim = pid.is_some() && pid == victim;
        if process.is_victim {
            process.threads = (frozen.threads > 0).then_some(frozen.threads);
            if let Some(rss) = record.victim.memory.rss() {
                (process.rss_bytes, process.grade, process.age_seconds) = (Some(rss), Grade::Read, Some(0.0));
            }
        }
        if let Some(copy) = pid.and_then(|pid| copies.get(&pid)) {
            process.copy_of = Some(copy.parent);
            process.copied_seconds_ago = Some(frozen.header.ktime.saturating_sub(copy.since) as f64 / 1e9);
        }
        process
    };
    let mut processes: Vec<ProcessAtKill> = match known.dump.filter(|dump| !dump.tasks.is_empty()) {
        Some(dump) => dump
            .tasks
            .iter()
            .map(|task| decorate(of_dump(task, rows.get(&task.tgid).copied(), known.page_size, record.time)))
            .collect(),
        None => {
            known.snapshot.rows().filter(is_under).map(|row| decorate(of_row(row, record.time))).collect()
        }
    };
    if !processes.iter().any(|process| process.is_victim) {
        processes.push(decorate(of_victim(&record.victim.task)));
    }
    processes.sort_by_key(|process| (std::cmp::Reverse(process.rss_bytes), process.task.tid));
    // The victim is always kept.
    let mut left = MOST_PROCESSES;
    processes.retain(|process| {
        left = left.saturating_sub(1);
        left > 0 || process.is_victim
    });
    processes
}

fn of_dump(task: &DumpTask, row: Option<&ProcessRow>, page_size: u64, killed: Timestamp) -> ProcessAtKill {
    let bytes = |pages: u64| Bytes(pages.saturating_mul(page_size));
    let (rss_bytes, anon_bytes) = (task.rss.map(bytes), task.rss_anon.map(bytes));
    let facts = TaskFacts {
        pid: Some(task.tgid),
        tid: task.tgid,
        comm: task.name.clone(),
        process_comm: Some(task.name.clone()),
        uid: task.uid,
        oom_score_adj: task.oom_score_adj,
        started: None,
        cgroup: None,
        cgroup_id: None,
    };
    let known = row.map(|row| of_row(row, killed));
    let task = match &known {
        Some(known) => TaskFacts { started: known.task.started, cgroup: known.task.cgroup.clone(), ..facts },
        None => facts,
    };
    ProcessAtKill {
        task,
        rss_bytes,
        anon_bytes,
        growth_bytes_per_second: known.and_then(|known| known.growth_bytes_per_second),
        threads: None,
        copy_of: None,
        copied_seconds_ago: None,
        is_victim: false,
        grade: Grade::Read,
        age_seconds: Some(0.0),
    }
}

fn of_row(row: &ProcessRow, killed: Timestamp) -> ProcessAtKill {
    ProcessAtKill {
        task: TaskFacts {
            pid: Some(row.pid),
            tid: row.pid,
            comm: row.comm.clone(),
            process_comm: Some(row.comm.clone()),
            uid: row.uid,
            oom_score_adj: None,
            started: row.started,
            cgroup: row.cgroup.clone(),
            cgroup_id: None,
        },
        rss_bytes: row.rss_bytes,
        anon_bytes: None,
        growth_bytes_per_second: row.growth_bytes_per_second,
        threads: None,
        copy_of: None,
        copied_seconds_ago: None,
        is_victim: false,
        grade: row.rss_grade,
        age_seconds: row.rss_read.map(|read| age(killed, read)),
    }
}

fn of_victim(task: &TaskFacts) -> ProcessAtKill {
    ProcessAtKill {
        task: task.clone(),
        rss_bytes: None,
        anon_bytes: None,
        growth_bytes_per_second: None,
        threads: None,
        copy_of: None,
        copied_seconds_ago: None,
        is_victim: true,
        grade: Grade::Read,
        age_seconds: None,
    }
}

fn victim_memory(memory: &Memory, killed: Timestamp) -> VictimMemory {
    VictimMemory {
        arenas: memory.arenas.clone(),
        growth_stacks: memory.growth_stacks.clone(),
        counters: memory.counters.clone(),
        without_counters: memory.without_counters.clone(),
        counters_age_seconds: memory.counters_read.map(|at| age(killed, at)),
        scan_age_seconds: memory.scanned.map(|at| age(killed, at)),
        samples: memory.samples,
        unaccounted_bytes: memory.unaccounted_bytes,
    }
}

/// History up to the kill, with the kill itself as the last point, whose usage and limit were read in the kernel.
fn timeline(record: &OomRecord, ktime: u64, history: &[series::Point<FIGURES>]) -> Vec<Point> {
    let kill = ktime as f64 / 1e9;
    let mut points: Vec<Point> = history::coarse(history)
        .iter()
        .filter(|point| (point.second as f64) < kill)
        .map(|point| {
            let of = |figure: Figure| point.values.get(figure as usize).copied().flatten();
            Point {
                seconds_before: (kill - (point.second + point.length) as f64).max(0.0),
                usage_bytes: of(Figure::Usage),
                limit_bytes: of(Figure::Limit),
                anon_bytes: of(Figure::Anon),
                file_bytes: of(Figure::File),
                shmem_bytes: of(Figure::Shmem),
                kernel_bytes: of(Figure::Kernel),
                lowest_firm_bytes: point.low,
            }
        })
        .collect();
    if let Some(owner) = &record.limit_owner {
        points.push(Point {
            usage_bytes: owner.usage_bytes,
            limit_bytes: owner.limit_bytes,
            ..Point::default()
        });
    }
    points
}

#[cfg(test)]
#[path = "surroundings_tests.rs"]
mod tests;
