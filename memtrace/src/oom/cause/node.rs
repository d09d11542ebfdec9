//! Node exhaustion: no limit was hit, the node itself had no memory left. The kernel chose the victim, which need not
//! be the process that used the memory.

use super::{
    Case, Cause, CauseKind, Outcome,
    case::{fact, share, who},
};
use crate::{
    oom::record::ScopeKind,
    units::Grade,
    verdict::{Confidence, Remedy},
};

/// The most processes named in the evidence.
const NAMED: usize = 3;
/// Available memory above this part of all memory does not go with a node that has none left.
const MUCH: f64 = 0.1;

pub fn check(case: &Case<'_>) -> Outcome {
    let record = case.record;
    match record.scope.kind {
        ScopeKind::Global => {}
        ScopeKind::Memcg => return Ok(None),
        ScopeKind::Unknown => return Err("it is unknown whether a limit was hit".to_owned()),
    }
    let circumstances = &record.circumstances;
    let order = circumstances.request.as_ref().and_then(|request| request.order).unwrap_or_default();
    let mut evidence =
        vec![fact("no memory cgroup's limit was hit", record.scope.why.clone(), record.scope.grade)];
    if let Some(node) = &circumstances.node {
        let figures = [
            ("memory of the node", node.total_bytes),
            ("available at the last reading", node.available_bytes),
            ("free swap", node.swap_free_bytes),
        ];
        evidence
            .extend(figures.into_iter().filter_map(|(what, bytes)| Some(fact(what, bytes?, Grade::Read))));
    }
    // The last reading is older than the kill, so much available memory is a doubt, and no proof.
    let available = circumstances.node.as_ref().and_then(|node| {
        let (available, total) = (node.available_bytes?, node.total_bytes?);
        (share(available, total) >= MUCH).then_some(available)
    });
    if order > 0 {
        evidence.push(fact("pages in a row that were asked for", 1_u64 << order.clamp(0, 20), Grade::Read));
    }
    for process in circumstances.processes.iter().take(NAMED) {
        if let Some(rss) = process.rss_bytes {
            evidence.push(fact(format!("held by {}", who(&process.task)), rss, process.grade));
        }
    }
    let largest = circumstances.processes.first().filter(|process| !process.is_victim);
    let and = largest.map_or_else(String::new, |process| {
        format!(
            "; the largest process was {}, but the kernel chose another by its OOM score",
            who(&process.task)
        )
    });
    let (confidence, what) = match (available, order > 0) {
        (None, _) => (Confidence::High, "the node ran out of memory".to_owned()),
        (Some(bytes), true) => (
            Confidence::Medium,
            format!(
                "the node had no {} free pages in a row, though {bytes} was available",
                1_u64 << order.clamp(0, 20)
            ),
        ),
        (Some(bytes), false) => (
            Confidence::Medium,
            format!(
                "the node ran out of memory of one kind (a zone or NUMA node), or suddenly: {bytes} was available at the last reading"
            ),
        ),
    };
    Ok(Some(Cause {
        kind: CauseKind::NodeExhaustion,
        confidence,
        sentence: format!("{what}{and}"),
        evidence,
        remedies: vec![Remedy {
            text: "set limits where there are none, set requests to the real usage, and keep a reserve for the system"
                .into(),
            setting: None,
        }],
        doubt: None,
    }))
}
