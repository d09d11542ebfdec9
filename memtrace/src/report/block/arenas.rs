//! The owners of the victim's memory: arenas, the allocators' own counters, and call stacks that touched new memory.
//!
//! [`VictimMemory`] -> blocks.

use crate::{
    allocator::counters::{ArenaCounters, Counters},
    oom::record::{OomRecord, circumstances::VictimMemory},
    report::{
        describe::{change, figure, span},
        document::{Block, Cell, Column, Figure, Fit, Table},
        stack,
    },
    snapshot::ArenaRow,
    units::Bytes,
};

/// The most stacks and frames shown; the record has all.
const STACKS: usize = 3;
const FRAMES: usize = 12;

fn memory(record: &OomRecord) -> Option<&VictimMemory> {
    record.circumstances.victim_memory.as_ref()
}

pub(super) fn arenas(record: &OomRecord) -> Option<Block> {
    let memory = memory(record).filter(|memory| !memory.arenas.is_empty())?;
    let mut block = Block::new("Memory of the victim by owner");
    let mut table = Table::new(vec![
        Column::left("ALLOCATOR", Fit::Cut(14)),
        Column::left("KIND", Fit::Cut(14)),
        Column::right("RESIDENT"),
        Column::right("MAPPED"),
        Column::right("LAZY FREE"),
        Column::right("10 S"),
        Column::right("10 MIN"),
        Column::left("KNOWN BY", Fit::Whole),
    ]);
    for row in &memory.arenas {
        let ArenaRow { allocator, kind, mapped_bytes, resident_bytes, lazy_free_bytes, grade, .. } = row;
        let [seconds, _, minutes] = row.growth_bytes;
        table.row(vec![
            allocator.as_ref().into(),
            kind.as_ref().into(),
            resident_bytes.to_string().into(),
            mapped_bytes.to_string().into(),
            some(*lazy_free_bytes).into(),
            seconds.map(change).unwrap_or_default().into(),
            minutes.map(change).unwrap_or_default().into(),
            Cell::Grade(*grade),
        ]);
    }
    if memory.unaccounted_bytes.0 > 0 {
        let rest = memory.unaccounted_bytes.to_string();
        table.row(["unaccounted", "", &rest, "", "", "", "", ""].map(Into::into).to_vec());
    }
    block.table(table);
    if let Some(age) = memory.scan_age_seconds {
        let samples = memory.samples.map(|pages| format!(", plus {pages} pages from sampled faults since"));
        block.field(
            "known by",
            format!("page tables {} before the kill{}", span(age), samples.unwrap_or_default()),
        );
    }
    Some(block)
}

fn some(bytes: Bytes) -> String {
    if bytes.0 == 0 { String::new() } else { bytes.to_string() }
}

pub(super) fn counters(record: &OomRecord) -> Option<Block> {
    let memory = memory(record)?;
    if memory.counters.is_empty() && memory.without_counters.is_empty() {
        return None;
    }
    let mut block = Block::new("Allocators of the victim");
    let mut table = Table::new(vec![
        Column::left("ALLOCATOR", Fit::Cut(14)),
        Column::left("VERSION", Fit::Cut(10)),
        Column::right("IN USE"),
        Column::right("FREE, KEPT"),
        Column::right("LAZY FREE"),
        Column::right("METADATA"),
        Column::right("ERROR"),
        Column::left("KNOWN BY", Fit::Whole),
    ]);
    for counters in &memory.counters {
        table.row(vec![
            counters.allocator.as_str().into(),
            counters.version.clone().unwrap_or_default().into(),
            figure(counters.allocated_bytes).into(),
            figure(counters.free_resident_bytes).into(),
            counters.lazily_freed_bytes.map(some).unwrap_or_default().into(),
            counters.metadata_bytes.map(some).unwrap_or_default().into(),
            counters.error_bytes.map(some).unwrap_or_default().into(),
            Cell::Grade(counters.grade),
        ]);
    }
    block.table(table);
    block.known("read", memory.counters_age_seconds.map(|age| format!("{} before the kill", span(age))));
    for Counters { allocator, arenas, settings, missing, .. } in &memory.counters {
        single_arenas(&mut block, allocator, arenas);
        for setting in settings {
            block.field("setting", format!("{allocator}: {} = {}", setting.name, setting.value));
        }
        for missing in missing {
            block.doubt("missing", format!("{allocator}: {missing}"));
        }
    }
    for absent in &memory.without_counters {
        block.doubt("not read", absent.to_string());
    }
    Some(block)
}

/// The three arenas that retain most.
fn single_arenas(block: &mut Block, allocator: &str, arenas: &[ArenaCounters]) {
    let mut arenas: Vec<_> = arenas.iter().filter(|arena| arena.free_resident_bytes.is_some()).collect();
    arenas.sort_by_key(|arena| std::cmp::Reverse(arena.free_resident_bytes));
    if arenas.len() < 2 {
        return;
    }
    for arena in arenas.iter().take(3) {
        let kept = figure(arena.free_resident_bytes);
        let used = figure(arena.allocated_bytes);
        block.field("arena", format!("{allocator} {}: {used} in use, {kept} free but kept", arena.name));
    }
    if let Some(more @ 1..) = arenas.len().checked_sub(3) {
        block.note(format!("and {more} more arenas in the JSON record"));
    }
}

pub(super) fn stacks(record: &OomRecord) -> Option<Block> {
    let stacks = &memory(record)?.growth_stacks;
    if stacks.is_empty() {
        return None;
    }
    let mut block =
        Block::drawn("Call stacks of the victim that touched new memory (sampled)", Figure::Stacks);
    for growth in stacks.iter().take(STACKS) {
        let [seconds, _, minutes] = growth.bytes;
        block.field("touched", format!("{minutes} in 10 minutes, {seconds} in the last 10 seconds"));
        block.lines("stack", growth.frames.iter().take(FRAMES).map(stack::user_frame).collect());
    }
    if let Some(more @ 1..) = stacks.len().checked_sub(STACKS) {
        block.note(format!("and {more} more stacks in the JSON record"));
    }
    Some(block)
}
