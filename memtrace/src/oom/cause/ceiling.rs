//! Ceiling: a runtime was told that it may grow beyond the limit, and was killed on the way.
//!
//! Settings do not age, so counters of any age will do; sizes are those of the kill where they are known.

use super::{Case, Cause, CauseKind, Outcome, case::share};
use crate::{
    units::Bytes,
    verdict::{Confidence, ceiling},
};

/// The least part of the limit that the runtime holds at the kill.
const LEAST_HELD: f64 = 0.3;

pub fn check(case: &Case<'_>) -> Outcome {
    let memory = case.record.circumstances.victim_memory.as_ref();
    let memory = memory.ok_or("the victim's allocators are unknown")?;
    let limit = case.limit.ok_or("the limit is unknown")?;
    let firm = case.firm.ok_or("the usage is unknown")?;
    let Some(above) = ceiling::above(&memory.counters, limit, firm) else { return Ok(None) };
    if share(above.held, limit) < LEAST_HELD {
        return Ok(None);
    }
    let mut evidence = above.evidence();
    evidence.extend(super::fastest(case));
    let is_sure = above.is_by_itself() && share(above.held, Bytes(firm.0.max(1))) >= 0.5;
    Ok(Some(Cause {
        kind: CauseKind::Ceiling,
        confidence: if is_sure { Confidence::High } else { Confidence::Medium },
        sentence: above.sentence(),
        evidence,
        remedies: above.remedies(),
        doubt: None,
    }))
}
