//! Start-up: the program was killed while it started, before its usage had settled.

use super::{
    Case, Cause, CauseKind, Outcome,
    case::{LONGEST_START, fact},
};
use crate::{
    units::{Bytes, Grade},
    verdict::{Confidence, Remedy},
};

/// An age below which the confidence is high, in seconds.
const EARLY: f64 = 10.0;
/// The suggested limit, as a multiple of the usage at the kill.
const ADVISED: f64 = 1.5;

pub fn check(case: &Case<'_>) -> Outcome {
    let age = case.container_age().ok_or("the victim's start is unknown")?;
    let limit = case.limit.ok_or("the limit is unknown")?;
    if age > LONGEST_START || case.settled().is_some() {
        return Ok(None);
    }
    let rss = case.record.victim.memory.rss();
    let mut evidence = vec![
        fact("age of the victim's container", format!("{age:.1} s"), Grade::Read),
        fact("limit", limit, Grade::Read),
    ];
    evidence.extend(rss.map(|rss| fact("resident in the victim", rss, Grade::Read)));
    let is_most = rss.is_some_and(|rss| rss.0 >= limit.0 / 2);
    let advised = Bytes((limit.0 as f64 * ADVISED) as u64);
    Ok(Some(Cause {
        kind: CauseKind::StartUp,
        confidence: if age <= EARLY && is_most { Confidence::High } else { Confidence::Medium },
        sentence: format!("the limit of {limit} was reached during start-up, {age:.1} s after the start"),
        evidence,
        remedies: vec![Remedy {
            text: format!("give the program room to start and watch its usage: raise the limit to {advised}"),
            setting: Some(advised.0.to_string()),
        }],
    }))
}
