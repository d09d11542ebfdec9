//! The memory of a target's allocators, each summed over all processes.
//!
//! Counters and arena rows -> [`Holding`]s, largest first. Pure.

use std::collections::BTreeMap;

use super::{Holding, balance::is_anonymous, coverage, picture::Picture};
use crate::{
    allocator::{
        AllocatorId,
        attribute::Holder,
        counters::{Absent, ArenaCounters, Counters, Setting},
    },
    snapshot::{Memory, ProcessRow},
    units::{Bytes, Grade},
};

/// An allocator without counters and with fewer bytes gets no block.
const SMALL: u64 = 1 << 20;
/// The most arenas on a page.
const MOST_ARENAS: usize = 5;

/// All holdings.
pub(super) fn holdings(picture: &Picture<'_>) -> Vec<Holding> {
    let mut holdings = BTreeMap::new();
    for (row, memory) in picture.processes.iter().filter_map(|row| Some((*row, row.memory.as_ref()?))) {
        for counters in &memory.counters {
            let settings = settings(picture, row, counters);
            let holding = place(&mut holdings, &counters.allocator);
            add(holding, memory, counters, settings);
            let huge = picture.facts.huge.get(&row.pid);
            holding.huge_fill_bytes = coverage::more(holding.huge_fill_bytes, huge.copied());
        }
        for Absent { allocator, reason } in &memory.without_counters {
            let holding = place(&mut holdings, allocator);
            holding.resident_bytes.0 = holding.resident_bytes.0.saturating_add(resident(memory, allocator));
            holding.absent.get_or_insert_with(|| reason.clone());
        }
    }
    // Some allocators have no readable counters, but they have memory.
    let memory = picture.processes.iter().filter_map(|row| row.memory.as_ref());
    for row in memory.flat_map(|memory| &memory.arenas).filter(|row| is_anonymous(row)) {
        let found = holdings.get(row.allocator.as_ref());
        let is_told = found.is_some_and(|holding| holding.processes > 0 || holding.absent.is_some());
        if !is_told && is_allocator(&row.allocator) {
            let holding = place(&mut holdings, &row.allocator);
            holding.resident_bytes.0 = holding.resident_bytes.0.saturating_add(row.resident_bytes.0);
        }
    }
    let mut holdings: Vec<Holding> = holdings.into_values().collect();
    holdings.iter_mut().for_each(finish);
    holdings.retain(|holding| holding.resident_bytes.0 >= SMALL);
    holdings.sort_by(|a, b| (b.resident_bytes, &a.allocator).cmp(&(a.resident_bytes, &b.allocator)));
    holdings
}

/// Whether anonymous memory with this name belongs to an allocator, known or unknown.
fn is_allocator(name: &str) -> bool {
    match Holder::named(name) {
        Some(Holder::Allocator(_) | Holder::Heap) | None => true,
        Some(
            Holder::Stack
            | Holder::Unattributed
            | Holder::Module
            | Holder::File
            | Holder::Shmem
            | Holder::Kernel,
        ) => false,
    }
}

fn place<'h>(holdings: &'h mut BTreeMap<String, Holding>, allocator: &str) -> &'h mut Holding {
    holdings.entry(allocator.to_owned()).or_insert_with(|| Holding {
        allocator: allocator.to_owned(),
        version: None,
        processes: 0,
        resident_bytes: Bytes(0),
        allocated_bytes: None,
        error_bytes: None,
        free_resident_bytes: None,
        lazily_freed_bytes: None,
        retained_bytes: None,
        metadata_bytes: None,
        untold_bytes: None,
        huge_fill_bytes: None,
        counters_read: None,
        arenas: 0,
        by_arena: Vec::new(),
        settings: Vec::new(),
        grade: Grade::Read,
        missing: Vec::new(),
        absent: None,
    })
}

fn resident(memory: &Memory, allocator: &str) -> u64 {
    let rows = memory.arenas.iter().filter(|row| row.allocator == allocator);
    rows.fold(0, |sum, row| sum.saturating_add(row.resident_bytes.0))
}

fn add(holding: &mut Holding, memory: &Memory, counters: &Counters, settings: Vec<Setting>) {
    let Counters { version, allocated_bytes, error_bytes, .. } = counters;
    let is_first = holding.processes == 0;
    let sum = |held: &mut Option<Bytes>, more: Option<Bytes>| {
        *held = match (*held, more) {
            (Some(held), Some(more)) => Some(Bytes(held.0.saturating_add(more.0))),
            (None, more) if is_first => more,
            _ => None,
        };
    };
    sum(&mut holding.allocated_bytes, *allocated_bytes);
    sum(&mut holding.error_bytes, *error_bytes);
    sum(&mut holding.free_resident_bytes, counters.free_resident_bytes);
    sum(&mut holding.lazily_freed_bytes, counters.lazily_freed_bytes);
    sum(&mut holding.retained_bytes, counters.retained_bytes);
    sum(&mut holding.metadata_bytes, counters.metadata_bytes);
    if is_first {
        holding.version.clone_from(version);
        holding.settings = settings;
        holding.grade = counters.grade;
        holding.by_arena = by_arena(&counters.arenas);
    } else if holding.version != *version {
        holding.version = None;
    }
    if holding.grade != counters.grade {
        holding.grade = Grade::Inferred;
    }
    holding.counters_read = match holding.counters_read {
        Some(read) => Some(memory.counters_read.map_or(read, |other| read.min(other))),
        None => memory.counters_read,
    };
    for missing in &counters.missing {
        if !holding.missing.contains(missing) {
            holding.missing.push(missing.clone());
        }
    }
    if !is_first {
        holding.by_arena.clear();
    }
    holding.processes += 1;
    holding.arenas += counters.arenas.len();
    holding.resident_bytes.0 = holding.resident_bytes.0.saturating_add(resident(memory, &counters.allocator));
}

fn settings(picture: &Picture<'_>, row: &ProcessRow, counters: &Counters) -> Vec<Setting> {
    let mut settings = counters.settings.clone();
    let id = AllocatorId::named(&counters.allocator);
    let helper = id.and_then(|id| id.allocator().advice().helper());
    if let Some(helper) = helper.filter(|_| !picture.facts.not_looked.contains(&row.pid)) {
        let is_on = picture.facts.purging.contains(&row.pid);
        settings.push(Setting { name: helper.setting.to_owned(), value: is_on.to_string() });
    }
    settings
}

/// Arenas that are not empty; a single one is left out, because it equals the total.
fn by_arena(arenas: &[ArenaCounters]) -> Vec<ArenaCounters> {
    let held = |arena: &ArenaCounters| {
        let bytes = [arena.allocated_bytes, arena.free_resident_bytes];
        bytes.into_iter().flatten().fold(0, |sum: u64, bytes| sum.saturating_add(bytes.0))
    };
    let mut arenas: Vec<ArenaCounters> = arenas.iter().filter(|arena| held(arena) > 0).cloned().collect();
    arenas.sort_by(|a, b| (held(b), &a.name).cmp(&(held(a), &b.name)));
    arenas.truncate(if arenas.len() > 1 { MOST_ARENAS } else { 0 });
    arenas
}

fn finish(holding: &mut Holding) {
    let told = [
        holding.allocated_bytes,
        holding.free_resident_bytes,
        holding.lazily_freed_bytes,
        holding.metadata_bytes,
    ];
    if holding.processes > 0 {
        // Without any figure, all would be left over.
        if told.iter().all(Option::is_none) {
            holding.huge_fill_bytes = None;
            return;
        }
        let told = told.into_iter().flatten().fold(0, |sum: u64, part| sum.saturating_add(part.0));
        holding.untold_bytes = Some(Bytes(holding.resident_bytes.0.saturating_sub(told)));
        coverage::judge(holding);
    } else if holding.absent.is_none() {
        holding.absent = Some("none were found that can be read from outside the process".to_owned());
    }
}
