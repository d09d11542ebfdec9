//! The victim, and the memory of its address space.
//!
//! Parts of a record -> blocks.

use crate::{
    oom::record::{AddressSpaceUse, OomRecord, TaskFacts},
    report::{
        describe::{UNKNOWN, age, cgroup, figure, kilobytes, moment, name, percent, resident, sum},
        document::{Block, Cell, Column, Fit, Table},
    },
    units::Bytes,
};

pub(super) fn victim(record: &OomRecord) -> Block {
    let mut block = Block::new("Victim");
    let note = "; the kernel marked this thread and killed the whole process";
    process(&mut block, record, &record.victim.task, note);
    block
}

pub(super) fn process(block: &mut Block, record: &OomRecord, task: &TaskFacts, thread_note: &str) {
    let TaskFacts { pid, tid, comm, process_comm, uid, oom_score_adj, started, cgroup: path, cgroup_id } =
        task;
    let is_leader = *pid == Some(*tid);
    let process = match process_comm {
        Some(process) => name(process),
        None if is_leader => name(comm),
        None => UNKNOWN,
    };
    block.field("process", format!("{process}, pid {}", figure(*pid)));
    if !is_leader {
        block.field("thread", format!("{}, tid {tid}{thread_note}", name(comm)));
    }
    block.field("user id", figure(*uid));
    block.field("oom_score_adj", figure(*oom_score_adj));
    let started = match started {
        None => UNKNOWN.to_owned(),
        Some(started) => match age(*started, record.time) {
            Some(age) => format!("{}, {age} before the kill", moment(*started)),
            None => format!("{}; its age is unknown because the clock was set back", moment(*started)),
        },
    };
    block.field("started", started);
    block.field("cgroup", cgroup(path.as_deref(), *cgroup_id));
}

pub(super) fn memory(memory: &AddressSpaceUse) -> Block {
    let AddressSpaceUse { swap_bytes, page_table_bytes, virtual_bytes, .. } = memory;
    let mut block = Block::new("Memory of the victim when the kernel chose it");
    let mut table = Table::new(vec![
        Column::left("", Fit::Whole),
        Column::right(""),
        Column::right(""),
        Column::right(""),
        Column::left("", Fit::Whole),
    ]);
    let parts = resident(memory);
    let rss = sum(parts.map(|(_, bytes)| bytes));
    let mut absent = Vec::new();
    for (name, bytes) in parts {
        if bytes == Some(Bytes(0)) {
            absent.push(name);
            continue;
        }
        let share = bytes.zip(rss).and_then(|(bytes, rss)| percent(bytes, rss));
        let [name, human, kilobytes] = amount(name, bytes);
        let (share, bar) = match share {
            Some(share) => (format!("{share} %").into(), Cell::Bar(share)),
            None => ("".into(), "".into()),
        };
        table.row(vec![name, human, kilobytes, share, bar]);
    }
    let whole = if rss.is_some_and(|rss| rss.0 > 0) { "100 %" } else { "" };
    let others = [
        ("resident (RSS)", rss, whole),
        ("swapped out", *swap_bytes, ""),
        ("page tables", *page_table_bytes, ""),
        ("virtual", *virtual_bytes, ""),
    ];
    for (name, bytes, share) in others {
        if bytes == Some(Bytes(0)) {
            absent.push(name);
            continue;
        }
        let [name, human, kilobytes] = amount(name, bytes);
        table.row(vec![name, human, kilobytes, share.into(), "".into()]);
    }
    block.table(table);
    block.absent(&absent);
    block
}

fn amount(name: &str, bytes: Option<Bytes>) -> [Cell; 3] {
    [name.into(), figure(bytes).into(), bytes.map(kilobytes).unwrap_or_default().into()]
}
