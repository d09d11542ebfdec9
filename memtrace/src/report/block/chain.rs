//! The cgroups from the victim's up to the root, with the one whose limit was hit marked.
//!
//! The chain and its owner -> a block.

use crate::{
    oom::record::{MemcgLevel, OomRecord},
    report::{
        describe::{UNKNOWN, cgroup, figure, is_owner},
        document::{Block, Cell, Column, Fit, Table},
        style::Paint,
    },
};

pub(super) fn chain(record: &OomRecord) -> Block {
    let mut block = Block::new("Memory cgroups from the victim's up to the root");
    if record.chain.is_empty() {
        block.field("cgroups", UNKNOWN);
        return block;
    }
    let mut table = Table::new(vec![
        Column::left("CGROUP", Fit::Path),
        Column::right("USAGE"),
        Column::right("LIMIT"),
        Column::right("PEAK"),
        Column::right("HIT"),
        Column::right("OOM"),
    ]);
    let owner = record.limit_owner.as_ref();
    for level in &record.chain {
        if owner.is_some_and(|owner| is_owner(level, owner)) {
            table.marked("the limit that was hit", cells(level), Paint::Culprit);
        } else {
            table.row(cells(level));
        }
    }
    let mark = if table.has_marks() { "> the limit that was hit; " } else { "" };
    block.table(table);
    block.note(format!("{mark}HIT: how often its limit was hit; OOM: how often it ran out of memory"));
    for level in record.chain.iter().filter(|level| level.oom_group) {
        let path = cgroup(level.path.as_deref(), level.cgroup_id);
        block.note(format!("memory.oom.group is set in {path}: all its processes are killed together"));
    }
    block
}

fn cells(level: &MemcgLevel) -> Vec<Cell> {
    let limit = match level.limit_bytes {
        None if level.unlimited => "none".to_owned(),
        limit => figure(limit),
    };
    [
        cgroup(level.path.as_deref(), level.cgroup_id),
        figure(level.usage_bytes),
        limit,
        figure(level.peak_bytes),
        figure(level.limit_hits),
        figure(level.oom_events),
    ]
    .map(Cell::Text)
    .to_vec()
}
