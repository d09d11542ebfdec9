//! Requested: a user requested an OOM kill (sysrq `f`). Memory need not have been short.

use super::{Case, Cause, CauseKind, Outcome, case::fact};
use crate::{units::Grade, verdict::Confidence};

/// The order of a sysrq request (`is_sysrq_oom`, include/linux/oom.h).
const SYSRQ: i32 = -1;

pub fn check(case: &Case<'_>) -> Outcome {
    let request = case.record.circumstances.request.as_ref();
    let by_order = request.and_then(|request| request.order) == Some(SYSRQ);
    if !by_order && !case.stack_has(&["moom_callback"]) {
        return Ok(None);
    }
    let how = if by_order { "order of the request" } else { "kernel stack" };
    let value = if by_order { "-1" } else { "contains moom_callback" };
    Ok(Some(Cause {
        kind: CauseKind::Requested,
        confidence: Confidence::High,
        sentence: "somebody requested an OOM kill (SysRq f); memory was not necessarily short".to_owned(),
        evidence: vec![fact(how, value, Grade::Read)],
        remedies: Vec::new(),
        doubt: None,
    }))
}
