//! Neighbour: the limit is shared, and another process or container than the victim used it up.
//!
//! Applies only if the limit belongs to an ancestor of the victim's cgroup: the neighbour was the trigger, or grew
//! while the victim did not.

use super::{Case, Cause, CauseKind, Outcome, case::fact};
use crate::{
    units::{Bytes, Grade},
    verdict::{Confidence, Remedy, rate},
};

/// The least growth of the neighbour, as a multiple of the victim's.
const MORE: f64 = 2.0;
/// Slower growth counts as none; in bytes per second.
const SLOWEST: f64 = 64.0 * 1024.0;
/// The least share of the neighbour in the usage, even if it was the trigger.
const LEAST_SHARE: f64 = 0.1;

pub fn check(case: &Case<'_>) -> Outcome {
    let record = case.record;
    let victim = record.victim.task.cgroup.as_deref().ok_or("the victim's cgroup is unknown")?;
    let owner = record.limit_owner.as_ref().and_then(|owner| owner.path.as_deref());
    let owner = owner.ok_or("the owner of the limit is unknown")?;
    if owner == victim {
        return Ok(None);
    }
    let groups = case.groups();
    let usage = case.usage.unwrap_or_default().0 as f64;
    let victims = groups.get(victim).copied().unwrap_or_default();
    let trigger = record.trigger.task.cgroup.as_deref().filter(|trigger| *trigger != victim);
    let others =
        groups.iter().filter(|(path, group)| **path != victim && group.rss as f64 >= LEAST_SHARE * usage);
    let Some((path, other)) = others.max_by(|a, b| a.1.growth.total_cmp(&b.1.growth)) else {
        return Ok(None);
    };
    let grew_more = other.growth >= SLOWEST && other.growth >= MORE * victims.growth.max(0.0);
    let asked = trigger == Some(*path);
    if !grew_more && !asked {
        return Ok(None);
    }
    Ok(Some(Cause {
        kind: CauseKind::Neighbour,
        confidence: if grew_more && asked { Confidence::High } else { Confidence::Medium },
        sentence: format!(
            "the limit of {owner} is shared: {path} {} and holds {}; the victim's {victim} holds {}",
            if grew_more { format!("grew by {}", rate(other.growth)) } else { "requested more".to_owned() },
            Bytes(other.rss),
            Bytes(victims.rss)
        ),
        evidence: vec![
            fact(format!("resident in {path}"), Bytes(other.rss), Grade::Read),
            fact(format!("growth of {path}"), rate(other.growth), Grade::Read),
            fact(format!("resident in {victim}"), Bytes(victims.rss), Grade::Read),
            fact(format!("growth of {victim}"), rate(victims.growth), Grade::Read),
            fact("memory requested by", trigger.unwrap_or(victim), Grade::Read),
        ],
        remedies: vec![Remedy {
            text: format!("give {path} its own limit, below that of {owner}"),
            setting: None,
        }],
        doubt: None,
    }))
}
