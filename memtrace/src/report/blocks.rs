//! The blocks of the text report: victim, its memory, the limit, the trigger, the evidence.
//!
//! Parts of a record -> fields on a page.

use super::{
    describe::{UNKNOWN, age, cgroup, figure, kilobytes, moment, name, percent, resident, sum, who},
    layout::{Align, columns},
    page::Page,
    stack,
    style::Paint,
};
use crate::{
    oom::record::{AddressSpaceUse, Frame, LimitOwner, OomRecord, ScopeKind, TaskFacts},
    units::Bytes,
};

/// Characters of a bar for the whole.
const BAR: u128 = 30;

pub(super) fn victim(page: &mut Page, record: &OomRecord) {
    page.heading("Victim");
    process(
        page,
        record,
        &record.victim.task,
        "; the kernel marked this thread and killed the whole process",
    );
}

fn process(page: &mut Page, record: &OomRecord, task: &TaskFacts, thread_note: &str) {
    let TaskFacts { pid, tid, comm, process_comm, uid, oom_score_adj, started, cgroup: path, cgroup_id } =
        task;
    let is_leader = *pid == Some(*tid);
    let process = match process_comm {
        Some(process) => name(process),
        None if is_leader => name(comm),
        None => UNKNOWN,
    };
    page.field("process", &format!("{process}, pid {}", figure(*pid)));
    if !is_leader {
        page.field("thread", &format!("{}, tid {tid}{thread_note}", name(comm)));
    }
    page.field("user id", &figure(*uid));
    page.field("oom_score_adj", &figure(*oom_score_adj));
    let started = match started {
        None => UNKNOWN.to_owned(),
        Some(started) => match age(*started, record.time) {
            Some(age) => format!("{}, {age} before the kill", moment(*started)),
            None => format!("{}; its age is unknown, the clock was set back since", moment(*started)),
        },
    };
    page.field("started", &started);
    page.field("cgroup", &cgroup(path.as_deref(), *cgroup_id));
}

pub(super) fn memory(page: &mut Page, memory: &AddressSpaceUse) {
    let AddressSpaceUse { swap_bytes, page_table_bytes, virtual_bytes, .. } = memory;
    page.heading("Memory of the victim, when it was chosen");
    let parts = resident(memory);
    let rss = sum(parts.map(|(_, bytes)| bytes));
    let mut rows: Vec<[String; 5]> = Vec::new();
    for (name, bytes) in parts {
        let share = bytes.zip(rss).and_then(|(bytes, rss)| percent(bytes, rss));
        let [name, human, kilobytes] = amount(name, bytes);
        let (share, bar) = match share {
            Some(share) => (format!("{share} %"), bar(share)),
            None => (String::new(), String::new()),
        };
        rows.push([name, human, kilobytes, share, bar]);
    }
    let others = [
        ("resident (RSS)", rss),
        ("swapped out", *swap_bytes),
        ("page tables", *page_table_bytes),
        ("virtual", *virtual_bytes),
    ];
    for (name, bytes) in others {
        let [name, human, kilobytes] = amount(name, bytes);
        let share =
            if name.starts_with("resident") && rss.is_some_and(|rss| rss.0 > 0) { "100 %" } else { "" };
        rows.push([name, human, kilobytes, share.to_owned(), String::new()]);
    }
    let aligns = [Align::Left, Align::Right, Align::Right, Align::Right, Align::Left];
    for line in columns(aligns, &rows) {
        page.line(&line, Paint::Plain);
    }
}

fn amount(name: &str, bytes: Option<Bytes>) -> [String; 3] {
    [name.to_owned(), figure(bytes), bytes.map(kilobytes).unwrap_or_default()]
}

/// At least one mark for what is there at all.
fn bar(share: u128) -> String {
    let marks = (share * BAR).div_ceil(100).min(BAR) as usize;
    format!("[{}{}]", "#".repeat(marks), ".".repeat(BAR as usize - marks))
}

pub(super) fn limit(page: &mut Page, record: &OomRecord) {
    let OomRecord { scope, limit_owner, .. } = record;
    page.heading("Limit");
    let known = format!("{}: {}", scope.grade, scope.why);
    let (what, paint) = match scope.kind {
        ScopeKind::Memcg => ("the limit of a memory cgroup", Paint::Plain),
        ScopeKind::Global if stack::is_by_hand(record) => {
            ("nothing: the kill was asked for by hand (SysRq f)", Paint::Plain)
        }
        ScopeKind::Global => ("the memory of the node", Paint::Plain),
        ScopeKind::Unknown => (UNKNOWN, Paint::Doubt),
    };
    page.painted_field("what ran out", what, paint);
    page.field("known by", &known);
    match (scope.kind, limit_owner) {
        (_, Some(owner)) => limit_owner_fields(page, owner),
        (ScopeKind::Memcg, None) => page.painted_field("whose limit", UNKNOWN, Paint::Doubt),
        (ScopeKind::Global | ScopeKind::Unknown, None) => {}
    }
}

fn limit_owner_fields(page: &mut Page, owner: &LimitOwner) {
    let LimitOwner {
        path,
        cgroup_id,
        limit_bytes,
        usage_bytes,
        peak_bytes,
        fail_count: _,
        limit_hits,
        grade,
        why,
    } = owner;
    page.painted_field("whose limit", &cgroup(path.as_deref(), *cgroup_id), Paint::Culprit);
    page.field("known by", &format!("{grade}: {why}"));
    let amount = |bytes: Option<Bytes>| match bytes {
        Some(bytes) => format!("{bytes} ({})", kilobytes(bytes)),
        None => UNKNOWN.to_owned(),
    };
    page.field("limit", &amount(*limit_bytes));
    let share = usage_bytes
        .zip(*limit_bytes)
        .and_then(|(usage, limit)| percent(usage, limit))
        .map(|share| format!(", {share} % of the limit"))
        .unwrap_or_default();
    page.field("usage", &format!("{}{share}", amount(*usage_bytes)));
    page.field("peak", &amount(*peak_bytes));
    page.field(
        "hits",
        &limit_hits.map_or_else(|| UNKNOWN.to_owned(), |hits| format!("it was hit {hits} times")),
    );
}

pub(super) fn trigger(page: &mut Page, record: &OomRecord) {
    let OomRecord { trigger, victim, kernel_stack, user_stack, .. } = record;
    page.heading(if stack::is_by_hand(record) || stack::is_limit_write(record) {
        "Trigger: the task that was running"
    } else {
        "Trigger: who asked for memory when there was none"
    });
    if trigger.is_victim && trigger.task.tid == victim.task.tid {
        page.field("process", "the victim itself");
    } else if trigger.is_victim {
        page.field("process", &format!("the victim itself, {}", who(&trigger.task)));
    } else {
        process(page, record, &trigger.task, "");
    }
    frames(page, "kernel stack", stack::kernel(kernel_stack), kernel_stack);
    frames(page, "user stack", user_stack, user_stack);
}

fn frames(page: &mut Page, name: &str, shown: &[Frame], recorded: &[Frame]) {
    match (shown, recorded) {
        ([], []) => page.field(name, "unknown: no frames were recorded"),
        ([], _) => page.field(name, "unknown: no frames but the tracer's own were recorded"),
        _ => page.lines_field(name, &stack::lines(shown, page.value_columns()), Paint::Plain),
    }
}

pub(super) fn evidence(page: &mut Page, record: &OomRecord) {
    let evidence = &record.evidence;
    page.heading("Evidence");
    page.field("hook", &evidence.hook);
    let signal = if evidence.kill_signal_seen {
        "the kernel was seen to send SIGKILL"
    } else {
        "not watched: that SIGKILL followed is taken from the hook"
    };
    page.field("signal", signal);
    if evidence.losses.is_empty() {
        page.field("lost", "nothing, up to this kill");
    }
    for loss in &evidence.losses {
        page.painted_field("lost", &format!("{} {}: {}", loss.count, loss.name, loss.meaning), Paint::Doubt);
    }
    for unknown in &evidence.unknown {
        page.painted_field("unknown", unknown, Paint::Doubt);
    }
}
