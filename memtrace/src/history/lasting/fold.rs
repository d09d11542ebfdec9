//! The fold: snapshots, one a second, into rows of five minutes.
//!
//! Input: snapshots. Output: finished rows, which wait until somebody takes them. Pure. Memory is bounded: at most
//! `MOST_WORKLOADS` workloads at a time and `MOST_FINISHED` rows that wait; what has no room is counted ([`Dropped`]).

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    instance::{Instance, Reading},
    row::{ArenaUse, Kinds, MOST_ARENAS, Row, lower, slot_of},
};
use crate::{
    allocator::{advice::Keeper, counters::Counters},
    container::workload::Workload,
    snapshot::{ContainerRow, Snapshot},
    units::Bytes,
};

/// The most workloads and the most cgroups that are followed.
const MOST_WORKLOADS: usize = 512;
const MOST_INSTANCES: usize = 2_048;
/// The most rows that wait: 20 minutes of the most workloads.
const MOST_FINISHED: usize = 4 * MOST_WORKLOADS;
/// The most readings that a median is made of; with more, every second one is dropped.
const MOST_SAMPLES: usize = 512;
/// A cgroup is forgotten when it was not seen for this long, in ns.
const KEPT: u64 = 60_000_000_000;
/// How often the start of the processes is looked up, in ns; new cgroups are looked up at once.
const LOOKED_UP: u64 = 10_000_000_000;
/// Readings at a limit that make a statement about the page cache there.
const BOUND_READINGS: u16 = 30;
/// Free memory of an allocator from which a setting is named, and its share of what the allocator holds.
const MUCH: u64 = 16 << 20;
const MUCH_SHARE: u64 = 3;

/// Rows in the making.
#[derive(Clone, Debug, Default)]
pub struct Fold {
    slot: u32,
    instances: HashMap<String, Instance>,
    open: HashMap<Arc<Workload>, Open>,
    finished: VecDeque<(Arc<Workload>, Row)>,
    looked_up: u64,
    /// The last snapshot, which the publisher keeps too: it has the allocators of rows that end early.
    last: Option<Arc<Snapshot>>,
    dropped: Dropped,
}

/// What had no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Readings of cgroups and workloads beyond the most that are followed, one a second each.
    pub readings: u64,
    /// Finished rows that waited for the disk.
    pub rows: u64,
}

/// The row of one workload in the present five minutes.
#[derive(Clone, Debug, Default)]
struct Open {
    row: Row,
    /// Every `stride`th reading of `U`, in KiB.
    samples: Vec<u32>,
    stride: u32,
    count: u32,
    bound: u16,
    is_pressed: bool,
    bound_file: u64,
}

impl Fold {
    /// Takes a snapshot, `now` ns since boot.
    pub fn take(&mut self, snapshot: &Arc<Snapshot>, now: u64) {
        let slot = slot_of(snapshot.time.as_second());
        if slot != self.slot {
            self.close(Some(&**snapshot));
            self.slot = slot;
        }
        let rows = || snapshot.containers.iter().filter(|row| !row.is_group);
        let is_new = |row: &ContainerRow| {
            self.instances.get(&row.cgroup).is_none_or(|instance| instance.is_replaced(row))
        };
        let is_due = self.looked_up.saturating_add(LOOKED_UP) <= now || rows().any(is_new);
        let started = if is_due { starts(snapshot) } else { HashMap::new() };
        if is_due {
            self.looked_up = now;
        }
        for row in rows() {
            self.take_row(row, started.get(row.cgroup.as_str()).copied(), snapshot.time, now);
        }
        self.instances.retain(|_, instance| instance.seen.saturating_add(KEPT) >= now);
        self.last = Some(Arc::clone(snapshot));
    }

    fn take_row(&mut self, row: &ContainerRow, started: Option<Timestamp>, wall: Timestamp, now: u64) {
        let known = self.instances.get(&row.cgroup);
        let is_replaced = known.is_some_and(|instance| instance.is_replaced(row));
        let is_new = is_replaced || known.is_none();
        if is_new {
            if known.is_none() && self.instances.len() >= MOST_INSTANCES {
                self.dropped.readings += 1;
                return;
            }
            self.instances.insert(row.cgroup.clone(), Instance::new(row));
        }
        let Some(instance) = self.instances.get_mut(&row.cgroup) else { return };
        instance.started = started.or(instance.started);
        let reading = instance.read(row, wall, now);
        // One that the daemon found running did not start now.
        let has_started = is_new && instance.is_starting(wall);
        let has_restarted = has_started && (is_replaced || instance.is_restart());
        let Some(workload) = instance.workload.clone() else { return };
        if !self.open.contains_key(&workload) && self.open.len() >= MOST_WORKLOADS {
            self.dropped.readings += 1;
            return;
        }
        let open = self.open.entry(workload).or_default();
        open.row.starts = open.row.starts.saturating_add(u16::from(has_started));
        open.row.restarts = open.row.restarts.saturating_add(u16::from(has_restarted));
        open.take(row, &reading);
    }

    /// Ends the present five minutes early, at the end of the daemon.
    pub fn flush(&mut self) {
        let last = self.last.take();
        self.close(last.as_deref());
    }

    fn close(&mut self, snapshot: Option<&Snapshot>) {
        if self.open.is_empty() {
            return;
        }
        let mut arenas = snapshot.map(|snapshot| self.arenas(snapshot)).unwrap_or_default();
        let slot = self.slot;
        let mut rows: Vec<(Arc<Workload>, Row)> = self
            .open
            .drain()
            .map(|(workload, open)| {
                let arenas = arenas.remove(&workload).unwrap_or_default();
                (workload, Row { slot, arenas, ..open.finish() })
            })
            .collect();
        rows.sort_by(|(one, _), (other, _)| one.cmp(other));
        self.finished.extend(rows);
        while self.finished.len() > MOST_FINISHED {
            self.finished.pop_front();
            self.dropped.rows += 1;
        }
    }

    /// The finished rows, oldest first. They stay until [`Fold::forget`].
    pub fn finished(&self) -> Vec<(Arc<Workload>, Row)> {
        self.finished.iter().cloned().collect()
    }

    /// Whether rows are finished.
    pub fn has_finished(&self) -> bool {
        !self.finished.is_empty()
    }

    /// Drops the oldest finished rows: those that are stored.
    pub fn forget(&mut self, rows: usize) {
        self.finished.drain(..rows.min(self.finished.len()));
    }

    /// What had no room so far.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// What the allocators of each workload hold; of several instances the sum.
    fn arenas(&self, snapshot: &Snapshot) -> HashMap<Arc<Workload>, Vec<ArenaUse>> {
        let mut all: HashMap<Arc<Workload>, Vec<ArenaUse>> = HashMap::new();
        for process in snapshot.rows() {
            let Some(memory) = process.memory.as_ref().filter(|memory| !memory.counters.is_empty()) else {
                continue;
            };
            let instance = process.cgroup.as_ref().and_then(|cgroup| self.instances.get(cgroup));
            let Some(workload) = instance.and_then(|instance| instance.workload.clone()) else { continue };
            let arenas = all.entry(workload).or_default();
            memory.counters.iter().for_each(|counters| add(arenas, counters));
        }
        for arenas in all.values_mut() {
            arenas.sort_by_key(|arena| std::cmp::Reverse(arena.used.max(arena.free)));
            arenas.truncate(MOST_ARENAS);
        }
        all
    }
}

fn add(arenas: &mut Vec<ArenaUse>, counters: &Counters) {
    let sum = |one: &mut Option<Bytes>, more: Option<Bytes>| {
        if let Some(Bytes(more)) = more {
            *one = Some(Bytes(one.unwrap_or_default().0.saturating_add(more)));
        }
    };
    let is_same = |arena: &&mut ArenaUse| arena.allocator == counters.allocator;
    let (used, free) = (counters.allocated_bytes, counters.free_resident_bytes);
    let of = |bytes: Option<Bytes>| bytes.unwrap_or_default().0;
    let is_much =
        of(free) >= MUCH && of(free).saturating_mul(MUCH_SHARE) >= of(used).saturating_add(of(free));
    let setting = || {
        let remedies = Keeper::of(counters, None).remedies();
        remedies.into_iter().find_map(|remedy| remedy.setting)
    };
    let setting = if is_much { setting() } else { None };
    match arenas.iter_mut().find(is_same) {
        Some(arena) => {
            sum(&mut arena.used, used);
            sum(&mut arena.free, free);
            arena.setting = arena.setting.take().or(setting);
        }
        None => {
            let allocator = counters.allocator.clone();
            arenas.push(ArenaUse { allocator, used, free, setting }.bounded());
        }
    }
}

/// When the oldest process of each cgroup started.
fn starts(snapshot: &Snapshot) -> HashMap<&str, Timestamp> {
    let mut starts: HashMap<&str, Timestamp> = HashMap::new();
    for process in snapshot.rows() {
        if let (Some(cgroup), Some(started)) = (&process.cgroup, process.started) {
            let oldest = starts.entry(cgroup).or_insert(started);
            *oldest = started.min(*oldest);
        }
    }
    starts
}

impl Open {
    fn take(&mut self, container: &ContainerRow, reading: &Reading) {
        let row = &mut self.row;
        row.readings = row.readings.saturating_add(1);
        row.aged = row.aged.saturating_add(u16::from(reading.is_aged));
        row.hits = row.hits.saturating_add(reading.hits);
        row.kills = row.kills.saturating_add(reading.kills);
        let scraped = reading.scraped.map(Bytes);
        row.scraped = row.scraped.max(scraped);
        row.limit = lower(row.limit, reading.limit.map(Bytes));
        if let Some((file, is_calm)) = reading.bound {
            self.bound = self.bound.saturating_add(1);
            self.is_pressed |= !is_calm;
            self.bound_file = self.bound_file.max(file);
        }
        let Some(firm) = reading.firm else { return };
        let crest = Some(Bytes(reading.crest.unwrap_or_default().max(firm)));
        if reading.is_starting {
            row.start = row.start.max(crest);
            return;
        }
        if row.high.is_none_or(|Bytes(high)| firm > high) {
            row.high = Some(Bytes(firm));
            row.kinds = kinds(container);
        }
        row.crest = row.crest.max(crest);
        row.low = lower(row.low, Some(Bytes(firm)));
        if let Some(rise) = reading.rise.map(Bytes) {
            if row.rise.is_none_or(|most| rise > most) {
                row.second_rise = row.rise.replace(rise);
            } else {
                row.second_rise = row.second_rise.max(Some(rise));
            }
        }
        self.sample(firm);
    }

    fn sample(&mut self, firm: u64) {
        let stride = self.stride.max(1);
        if self.count.is_multiple_of(stride) {
            self.samples.push(u32::try_from(firm >> 10).unwrap_or(u32::MAX));
        }
        self.count = self.count.wrapping_add(1);
        if self.samples.len() >= MOST_SAMPLES {
            let mut is_kept = false;
            self.samples.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
            self.stride = stride.saturating_mul(2);
        }
    }

    fn finish(mut self) -> Row {
        let middle = self.samples.len() / 2;
        if !self.samples.is_empty() {
            let (_, median, _) = self.samples.select_nth_unstable(middle);
            self.row.median = Some(Bytes(u64::from(*median) << 10));
        }
        if self.bound >= BOUND_READINGS {
            let file = Some(Bytes(self.bound_file));
            *(if self.is_pressed { &mut self.row.pressed_cache } else { &mut self.row.calm_cache }) = file;
        }
        self.row
    }
}

fn kinds(row: &ContainerRow) -> Kinds {
    let Some(charge) = &row.charge else { return Kinds::default() };
    let kernel = charge.kernel().map(|Bytes(kernel)| {
        Bytes(kernel.saturating_sub(charge.slab_reclaimable_bytes.unwrap_or_default().0))
    });
    Kinds {
        anon: charge.anon_bytes,
        shmem: charge.shmem_bytes,
        kernel,
        active_file: charge.active_file_bytes,
        file: charge.file(),
    }
}

#[cfg(test)]
#[path = "fold_tests.rs"]
mod tests;
