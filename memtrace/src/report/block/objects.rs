//! What filled the heaps under the limit, by type, at the last look before the kill.
//!
//! [`ObjectsBefore`] -> a block: a table for each heap, the types that grew most first.

use crate::{
    allocator::objects::{Objects, Row, growth::by_growth},
    oom::record::{OomRecord, circumstances::ObjectsBefore},
    report::{
        describe::{change, span},
        document::{Block, Cell, Column, Fit, Table},
        heap::{coverage, error},
    },
};

/// The most types of a heap; the record has more.
const ROWS: usize = 8;

pub(super) fn objects(record: &OomRecord) -> Option<Block> {
    let all = &record.circumstances.objects;
    if all.is_empty() {
        return None;
    }
    let mut block = Block::new("Objects before the kill, by type");
    for ObjectsBefore { pid, comm, is_victim, age_seconds, before_age_seconds, heaps, absent } in all {
        let whose = if *is_victim { "the victim".to_owned() } else { format!("{comm} ({pid}), not killed") };
        for heap in heaps {
            block.field("heap", format!("{} of {whose}: {}", heap.runtime, coverage(heap)));
            let before = before_age_seconds.map_or_else(
                || "; there was no look before that".to_owned(),
                |before| format!("; growth since {} before it", span(before)),
            );
            block.field("read", format!("{} before the kill{before}", span(*age_seconds)));
            block.table(table(heap, before_age_seconds.is_some()));
            if let Some(more @ 1..) = types(heap).checked_sub(ROWS as u64) {
                block.note(format!("and {more} more types"));
            }
            for missing in &heap.missing {
                block.doubt("not in it", missing.clone());
            }
        }
        for absent in absent {
            block.doubt("not read", format!("{whose}: {absent}"));
        }
    }
    Some(block)
}

fn types(heap: &Objects) -> u64 {
    heap.others.types.saturating_add(heap.rows.len() as u64)
}

fn table(heap: &Objects, has_growth: bool) -> Table {
    let mut columns = vec![
        Column::left("TYPE", Fit::Rest),
        Column::right("BYTES"),
        Column::right("ERROR"),
        Column::right("COUNT"),
    ];
    if has_growth {
        columns.extend([Column::right("GROWTH"), Column::right("ERROR")]);
    }
    let mut table = Table::new(columns);
    for Row { name, bytes, error_bytes, count, growth, .. } in by_growth(&heap.rows).into_iter().take(ROWS) {
        let mut cells: Vec<Cell> = vec![
            name.as_str().into(),
            bytes.to_string().into(),
            error(*error_bytes).into(),
            count.to_string().into(),
        ];
        if has_growth {
            let (grown, off) = growth
                .map_or_else(Default::default, |growth| (change(growth.bytes), error(growth.error_bytes)));
            cells.extend([grown.into(), off.into()]);
        }
        table.row(cells);
    }
    table
}
