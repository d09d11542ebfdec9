//! Fork and copy on write: a large process has a forked copy, and each page that either writes exists twice.
//!
//! A child that runs its parent's program and is about as large. A page that is written exists twice, and the sizes of
//! parent and child stay as they are; so copies are the part of the charge that no process's size explains. Memory of
//! others, and what a child grew beyond its parent's size, are no copies. The best known case is Redis while it saves.

use super::{
    Case, Cause, CauseKind, Outcome,
    case::{fact, percent, share, who},
};
use crate::{
    oom::record::circumstances::ProcessAtKill,
    units::{Bytes, Grade},
    verdict::{Confidence, Remedy},
};

/// The least size of the parent, as a part of the charge.
const LARGE: f64 = 0.25;
/// A child smaller than this part of its parent is no copy of it, or has released most of it.
const ALIKE: f64 = 0.5;
/// The least share of the copies in the usage.
const LEAST_COPIED: f64 = 0.15;
/// An older child is considered an independent worker; in seconds.
const OLDEST: f64 = 1800.0;

pub fn check(case: &Case<'_>) -> Outcome {
    let processes = &case.record.circumstances.processes;
    if processes.is_empty() {
        return Err("the processes under the limit are unknown".to_owned());
    }
    let usage = case.charged().ok_or("the usage is unknown")?;
    let anon = case.charge().ok().and_then(|(charge, _)| charge.anon_bytes).unwrap_or(usage);
    let size = |process: &ProcessAtKill| process.rss_bytes.unwrap_or_default();
    // Pages of files are in a process's size, but not in anonymous memory: those of a shell would hide as many copies.
    let has_anon = processes.iter().all(|process| process.anon_bytes.is_some());
    let anon_of = |process: &ProcessAtKill| if has_anon { anonymous(process) } else { size(process) };
    if let Some(age) = case.charge_age() {
        // The sizes of the processes are of another instant, so the difference says nothing.
        return Err(format!("its memory by kind was read {age:.0} s before the kill"));
    }
    let found = processes.iter().find_map(|child| {
        let parent = child.copy_of?;
        let parent = processes.iter().find(|process| process.task.pid == Some(parent))?;
        let copied = anon.0.saturating_sub(anon_of(parent).0);
        let copied = Bytes(copied.saturating_sub(own(processes, parent, &anon_of)));
        let fits = share(size(parent), usage) >= LARGE
            && share(size(child), size(parent)) >= ALIKE
            && share(copied, usage) >= LEAST_COPIED
            && child.copied_seconds_ago.is_none_or(|ago| ago <= OLDEST);
        fits.then_some((parent, child, copied))
    });
    let Some((parent, child, copied)) = found else { return Ok(None) };
    let part = share(copied, usage);
    let ago = child.copied_seconds_ago.map_or_else(String::new, |ago| format!(" {ago:.0} s before"));
    Ok(Some(Cause {
        kind: CauseKind::ForkCopyOnWrite,
        confidence: if part >= 0.3 { Confidence::High } else { Confidence::Medium },
        sentence: format!(
            "{} forked{ago}; writes since then have copied {copied}, {} of the usage",
            who(&parent.task),
            percent(part)
        ),
        evidence: vec![
            fact(format!("resident in {}", who(&parent.task)), size(parent), parent.grade),
            fact(format!("resident in its copy {}", who(&child.task)), size(child), child.grade),
            fact("anonymous memory in total, shared pages counted once", anon, Grade::Read),
            fact(
                "of other processes, or grown since a fork",
                Bytes(own(processes, parent, &anon_of)),
                Grade::Inferred,
            ),
            fact("copied since the fork", copied, Grade::Inferred),
        ],
        remedies: vec![Remedy {
            text: "leave room for a copy of every page that is written while the child runs, or write less in that time".into(),
            setting: None,
        }],
        doubt: None,
    }))
}

fn anonymous(process: &ProcessAtKill) -> Bytes {
    process.anon_bytes.unwrap_or_default()
}

/// The memory of all but the parent that cannot be copies of its pages: other processes, and growth beyond its size.
fn own(processes: &[ProcessAtKill], parent: &ProcessAtKill, size: &impl Fn(&ProcessAtKill) -> Bytes) -> u64 {
    let size = |process: &ProcessAtKill| size(process).0;
    let others = processes.iter().filter(|process| process.task.pid != parent.task.pid);
    let sizes = others.map(|process| match process.copy_of {
        Some(of) if Some(of) == parent.task.pid => size(process).saturating_sub(size(parent)),
        _ => size(process),
    });
    sizes.fold(0, u64::saturating_add)
}
