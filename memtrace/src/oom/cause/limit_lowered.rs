//! Limit lowered: usage was as before, and the limit was lowered to it.
//!
//! If the write to the limit file itself killed (v2), the kernel stack shows it. Otherwise history shows it: the limit
//! was higher, and most of the usage existed then.

use super::{
    Case, Cause, CauseKind, Outcome,
    case::{fact, who},
};
use crate::{
    units::{Bytes, Grade},
    verdict::{Confidence, Remedy},
};

/// Kernel functions that write limits: v2, and v1 for the memory and the memory-and-swap limit.
const WRITERS: [&str; 4] =
    ["memory_max_write", "mem_cgroup_write", "mem_cgroup_resize_max", "memory_high_write"];
/// The longest time between lowering and kill, in seconds; after that the program may have grown.
const WITHIN: f64 = 120.0;
/// The least reduction, as a part of the limit.
const LEAST: f64 = 0.02;
/// The least usage before the reduction, as a part of the usage at the kill.
const USED_BEFORE: f64 = 0.75;

pub fn check(case: &Case<'_>) -> Outcome {
    let limit = case.limit.ok_or("the limit is unknown")?;
    let trigger = &case.record.trigger.task;
    let later = Remedy {
        text:
            "lower a limit only after usage has fallen, or give the program time to shrink with memory.high"
                .into(),
        setting: None,
    };
    if case.stack_has(&WRITERS) {
        return Ok(Some(Cause {
            kind: CauseKind::LimitLowered,
            confidence: Confidence::High,
            sentence: format!(
                "{} set the limit of {} to {limit}, below the usage",
                who(trigger),
                case.owner()
            ),
            evidence: vec![
                fact("limit written by", who(trigger), Grade::Read),
                fact("kernel stack", "contains the write of the limit", Grade::Read),
                fact("limit", limit, Grade::Read),
            ],
            remedies: vec![later],
            doubt: None,
        }));
    }
    let timeline = &case.record.circumstances.timeline;
    let before = timeline.iter().rev().find(|point| {
        point.limit_bytes.is_some_and(|before| limit.0 as f64 <= before.0 as f64 * (1.0 - LEAST))
    });
    let Some(before) = before.filter(|point| point.seconds_before <= WITHIN) else { return Ok(None) };
    let (Some(was), Some(used), Some(usage)) = (before.limit_bytes, before.usage_bytes, case.usage) else {
        return Err("usage before the limit was lowered is unknown".to_owned());
    };
    if (used.0 as f64) < USED_BEFORE * usage.0 as f64 {
        return Ok(None);
    }
    Ok(Some(Cause {
        kind: CauseKind::LimitLowered,
        confidence: Confidence::Medium,
        sentence: format!(
            "the limit of {} was lowered from {was} to {limit} within {:.0} s before the kill, with {used} in use",
            case.owner(),
            before.seconds_before.max(1.0)
        ),
        evidence: vec![
            fact("limit before", was, Grade::Read),
            fact("limit at the kill", limit, Grade::Read),
            fact("usage before", used, Grade::Read),
            fact("growth since", Bytes(usage.0.saturating_sub(used.0)), Grade::Read),
            fact("lowered by", "unknown: the write itself did not cause the kill", Grade::Inferred),
        ],
        remedies: vec![
            Remedy { text: format!("put the limit back to {was}"), setting: Some(was.0.to_string()) },
            later,
        ],
        doubt: None,
    }))
}
