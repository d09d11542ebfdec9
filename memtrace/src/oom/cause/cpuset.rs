//! Cpuset or memory policy: the NUMA nodes that the task may use had no memory left, although others may have had some.

use super::{Case, Cause, CauseKind, Outcome, case::fact};
use crate::{
    units::Grade,
    verdict::{Confidence, Remedy},
};

pub fn check(case: &Case<'_>) -> Outcome {
    let request = case.record.circumstances.request.as_ref();
    let constraint = request.and_then(|request| request.constraint.as_deref());
    let what = match constraint {
        None => return Err("the kernel's constraint is unknown".to_owned()),
        Some("cpuset") => "its cpuset allows",
        Some("memory_policy") => "its memory policy allows",
        Some(_) => return Ok(None),
    };
    Ok(Some(Cause {
        kind: CauseKind::CpusetOrPolicy,
        confidence: Confidence::High,
        sentence: format!("the NUMA nodes that {what} ran out of memory"),
        evidence: vec![fact("the kernel's constraint", constraint.unwrap_or_default(), Grade::Read)],
        remedies: vec![Remedy { text: "allow more NUMA nodes (cpuset.mems, numactl)".into(), setting: None }],
        doubt: None,
    }))
}
