//! Other victims, the node's memory, and how the victim ended.
//!
//! Parts of a record -> blocks; none without data.

use crate::{
    oom::record::{OomRecord, circumstances::Outcome},
    report::{
        describe::{age, cgroup, figure, moment, name, percent, span},
        document::{Block, Column, Fit, Table},
    },
    snapshot::Node,
    units::Bytes,
};

pub(super) fn more_victims(record: &OomRecord) -> Option<Block> {
    let victims = &record.circumstances.more_victims;
    if victims.is_empty() {
        return None;
    }
    let mut block = Block::new("Also killed, because memory.oom.group is set");
    let mut table = Table::new(vec![
        Column::left("PROCESS", Fit::Cut(16)),
        Column::right("PID"),
        Column::right("RESIDENT"),
        Column::right("ADJ"),
        Column::left("CGROUP", Fit::Path),
    ]);
    for victim in victims {
        let task = &victim.task;
        table.row(vec![
            name(task.process_comm.as_ref().unwrap_or(&task.comm)).into(),
            figure(task.pid).into(),
            figure(victim.memory.rss()).into(),
            figure(task.oom_score_adj).into(),
            cgroup(task.cgroup.as_deref(), task.cgroup_id).into(),
        ]);
    }
    block.table(table);
    Some(block)
}

pub(super) fn node(record: &OomRecord) -> Option<Block> {
    let Node {
        total_bytes,
        available_bytes,
        free_bytes,
        swap_total_bytes,
        swap_free_bytes,
        pressure_some10,
        pressure_full10,
    } = record.circumstances.node.as_ref()?;
    let mut block = Block::new("The node");
    block.known("memory", *total_bytes);
    let share = available_bytes.zip(*total_bytes).and_then(|(part, whole)| percent(part, whole));
    let share = share.map(|share| format!(", {share} % of it")).unwrap_or_default();
    block.known("available", available_bytes.map(|bytes| format!("{bytes}{share}")));
    block.known("free", *free_bytes);
    let swap = swap_total_bytes.zip(*swap_free_bytes);
    let describe = |(total, free): (Bytes, Bytes)| {
        if total == Bytes(0) { "none".to_owned() } else { format!("{total}, {free} of it free") }
    };
    block.known("swap", swap.map(describe));
    let pressure = pressure_some10.map(|some| {
        let full = pressure_full10.map(|full| format!(", all tasks {:.1} %", full * 100.0));
        format!(
            "in the last 10 s some task waited for memory {:.1} % of the time{}",
            some * 100.0,
            full.unwrap_or_default()
        )
    });
    block.known("pressure", pressure);
    let age = record.circumstances.node_age_seconds.filter(|_| !block.items.is_empty());
    block.known("read", age.map(|age| format!("{} before the kill", span(age))));
    (!block.items.is_empty()).then_some(block)
}

pub(super) fn outcome(record: &OomRecord) -> Option<Block> {
    let mut block = Block::new("Outcome");
    block.known("container", record.circumstances.lives_on.map(lives_on));
    if let Some(outcome) = &record.circumstances.outcome {
        ending(&mut block, record, outcome);
    }
    (!block.items.is_empty()).then_some(block)
}

/// A container that lives on has no exit that a runtime could report, and no restart.
const fn lives_on(lives: bool) -> &'static str {
    if lives {
        "lives on: the first process of the victim's cgroup still ran 2 s later, so there is no restart"
    } else {
        "ended: the first process of the victim's cgroup was gone 2 s later"
    }
}

fn ending(block: &mut Block, record: &OomRecord, outcome: &Outcome) {
    let Outcome { ended, signal, exit_code, runtime_reason, runtime_exit_code, disagreement } = outcome;
    block.known(
        "ended",
        ended.map(|ended| match age(record.time, ended) {
            Some(age) => format!("{}, {age} after the kill", moment(ended)),
            None => moment(ended),
        }),
    );
    block.known("signal", *signal);
    block.known("exit code", *exit_code);
    let code = runtime_exit_code.map(|code| format!("exit code {code}"));
    let said: Vec<String> = runtime_reason.clone().into_iter().chain(code).collect();
    block.known("runtime says", (!said.is_empty()).then(|| said.join(", ")));
    if let Some(disagreement) = disagreement {
        block.doubt("disagreement", disagreement);
    }
}
