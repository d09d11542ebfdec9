//! The kill in one sentence.
//!
//! `&OomRecord` -> a sentence of facts: victim, owner of the limit, memory, trigger. No verdict: one record does not
//! show whether it was a leak or a tight limit.

use super::{
    describe::{is_owner, name, resident, who},
    stack::{is_by_hand, is_limit_write},
};
use crate::{
    oom::record::{LimitOwner, OomRecord, ScopeKind, Victim},
    text::{printable, shorten_path},
    units::Grade,
};

/// Width of a path in the sentence: the name of a Kubernetes pod's cgroup fits. The report has full paths.
const PATH: usize = 72;

/// One sentence on who was killed, and why.
pub fn sentence(record: &OomRecord) -> String {
    let OomRecord { scope, limit_owner, victim, .. } = record;
    let why = match (scope.kind, limit_owner) {
        (ScopeKind::Memcg, Some(owner)) => format!("{} because {}", sure(owner.grade), limit(record, owner)),
        (ScopeKind::Memcg, None) => format!(
            "{} because a memory cgroup reached its limit; which one is unknown: {}",
            sure(scope.grade),
            scope.why
        ),
        (ScopeKind::Global, _) if is_by_hand(record) => {
            "killed because an OOM kill was requested by hand (SysRq f)".to_owned()
        }
        (ScopeKind::Global, _) => format!("{} because the node ran out of memory", sure(scope.grade)),
        (ScopeKind::Unknown, _) => {
            format!("killed by the kernel's OOM killer; what ran out of memory is unknown: {}", scope.why)
        }
    };
    printable(&format!("{} was {why}; {}{}.", who(&victim.task), held(victim), trigger(record)))
}

fn sure(grade: Grade) -> &'static str {
    match grade {
        Grade::Read | Grade::Measured => "killed",
        Grade::Sampled | Grade::Inferred => "most likely killed",
    }
}

/// "cgroup /a/b, the parent of its own, reached its limit of 64.0 MiB (usage 64.0 MiB)".
fn limit(record: &OomRecord, owner: &LimitOwner) -> String {
    let subject = match (&owner.path, owner.cgroup_id) {
        (Some(path), _) => format!("cgroup {}", shorten_path(path, PATH)),
        (None, Some(id)) => format!("the cgroup with id {id} (path unknown)"),
        (None, None) => "a cgroup with an unknown path".to_owned(),
    };
    let subject = match record.chain.iter().position(|level| is_owner(level, owner)) {
        Some(0) => match &owner.path {
            Some(_) => format!("its {subject}"),
            None => format!("{subject}, its own,"),
        },
        Some(1) => format!("{subject}, the parent of its own,"),
        Some(above) => format!("{subject}, {above} levels above its own,"),
        None => subject,
    };
    let limit = match owner.limit_bytes {
        Some(limit) => format!("its limit of {limit}"),
        None => "its limit (size unknown)".to_owned(),
    };
    let usage = owner.usage_bytes.map(|usage| format!(" (usage {usage})")).unwrap_or_default();
    format!("{subject} reached {limit}{usage}")
}

/// The largest part of its resident memory.
fn held(victim: &Victim) -> String {
    let largest = resident(&victim.memory)
        .into_iter()
        .filter_map(|(kind, bytes)| Some((bytes?, kind)))
        .max_by_key(|(bytes, _)| *bytes);
    match largest {
        Some((bytes, kind)) => format!("it held {bytes} of {kind}"),
        None => "how much memory it held is unknown".to_owned(),
    }
}

/// The trigger, when it was not the victim.
fn trigger(record: &OomRecord) -> String {
    let OomRecord { trigger, victim, .. } = record;
    if trigger.is_victim || is_by_hand(record) || trigger.task.is_unknown() {
        return String::new();
    }
    let by = who(&trigger.task);
    if is_limit_write(record) {
        return format!("; {by} caused the kill by lowering a limit");
    }
    let place = match (&trigger.task.cgroup, &victim.task.cgroup) {
        (Some(trigger), Some(victim)) if trigger == victim => "in the same cgroup".to_owned(),
        (Some(trigger), _) => format!("in cgroup {}", shorten_path(name(trigger), PATH)),
        (None, _) => "in an unknown cgroup".to_owned(),
    };
    format!("; the allocation that failed was made by {by} {place}")
}
