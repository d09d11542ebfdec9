//! Burst: it had settled, and then took much in a moment.

use super::{
    Case, Cause, CauseKind, Outcome,
    case::{fact, percent, share},
};
use crate::{
    units::{Bytes, Grade},
    verdict::{Confidence, Remedy},
};

/// What is a moment, in seconds.
const MOMENT: f64 = 2.0;
/// In it usage must have risen by this part of the limit.
const LEAST_RISE: f64 = 0.25;
/// So much leaves no doubt.
const LARGE: f64 = 0.4;

/// See the module.
pub fn check(case: &Case<'_>) -> Outcome {
    let limit = case.limit.ok_or("the limit is not known")?;
    let usage = case.usage.ok_or("the usage is not known")?;
    let before = case.usage_before(MOMENT).ok_or(format!("no usage from {MOMENT:.0} s before is known"))?;
    let rise = Bytes(usage.0.saturating_sub(before.0));
    let part = share(rise, limit);
    if part < LEAST_RISE || case.settled().is_none() {
        return Ok(None);
    }
    let mut evidence = vec![
        fact(format!("usage {MOMENT:.0} s before"), before, Grade::Read),
        fact("usage at the kill", usage, Grade::Read),
        fact("that is so much of the limit", percent(part), Grade::Read),
    ];
    evidence.extend(super::fastest(case));
    Ok(Some(Cause {
        kind: CauseKind::Burst,
        confidence: if part >= LARGE { Confidence::High } else { Confidence::Medium },
        sentence: format!("it took {rise} within {MOMENT:.0} s, from {before} to the limit of {limit}"),
        evidence,
        remedies: vec![Remedy {
            text:
                "look at what asks for so much at once (the call stacks), bound its size or its concurrency"
                    .into(),
            setting: None,
        }],
    }))
}
