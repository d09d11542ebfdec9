//! The processes under the limit, largest first.
//!
//! [`ProcessAtKill`]s -> a table, the victims marked.

use crate::{
    oom::record::{OomRecord, circumstances::ProcessAtKill},
    report::{
        describe::{cgroup, figure, name, rate, span},
        document::{Block, Cell, Column, Fit, Table},
        style::Paint,
    },
};

/// The most rows; the record has all.
const SHOWN: usize = 20;
/// A size is that of the kill if it is not older, in seconds.
const AT_ONCE: f64 = 1.0;

pub(super) fn processes(record: &OomRecord) -> Option<Block> {
    let processes = &record.circumstances.processes;
    if processes.is_empty() {
        return None;
    }
    let mut block = Block::new("Processes under the limit");
    let mut table = Table::new(vec![
        Column::left("PROCESS", Fit::Cut(16)),
        Column::right("PID"),
        Column::right("RESIDENT"),
        Column::right("GROWTH/S"),
        Column::right("ADJ"),
        Column::left("KNOWN BY", Fit::Whole),
        Column::left("CGROUP", Fit::Path),
    ]);
    for process in processes.iter().take(SHOWN) {
        let ProcessAtKill { task, rss_bytes, growth_bytes_per_second, is_victim, grade, .. } = process;
        let comm = name(task.process_comm.as_ref().unwrap_or(&task.comm));
        let cells = vec![
            comm.into(),
            figure(task.pid).into(),
            figure(*rss_bytes).into(),
            growth_bytes_per_second.map(rate).unwrap_or_default().into(),
            task.oom_score_adj.map(|adj| adj.to_string()).unwrap_or_default().into(),
            Cell::Grade(*grade),
            cgroup(task.cgroup.as_deref(), task.cgroup_id).into(),
        ];
        if *is_victim {
            table.marked("killed", cells, Paint::Culprit);
        } else {
            table.row(cells);
        }
    }
    if table.has_marks() {
        block.table(table);
        block.note("> killed");
    } else {
        block.table(table);
    }
    if let Some(more @ 1..) = processes.len().checked_sub(SHOWN) {
        block.note(format!("and {more} more in the JSON record"));
    }
    let ages = processes.iter().filter_map(|process| process.age_seconds);
    if let Some(oldest) = ages.max_by(f64::total_cmp).filter(|age| *age > AT_ONCE) {
        block.note(format!("sizes were read up to {} before the kill", span(oldest)));
    }
    for process in processes {
        if let (Some(pid), Some(parent)) = (process.task.pid, process.copy_of) {
            let since = process.copied_seconds_ago.map(|ago| format!(" {} before", span(ago)));
            block.note(format!(
                "process {pid} was forked from {parent}{}: a page is copied when either of them writes to it",
                since.unwrap_or_default()
            ));
        }
    }
    Some(block)
}
