//! Start-up: the program was killed while it started, before its firm memory had settled.
//!
//! A start that needs more than the limit and a leak look alike as long as they last, so each names the other as its
//! doubt. Growth that was steady from the start to the kill is left to the leak rule. A start in steps, with rests between
//! them, is a guess: it stands when no other rule knows better.

use super::{
    Case, Cause, CauseKind, Outcome,
    case::{LONGEST_START, fact},
    leak,
    workers::Workers,
    young,
};
use crate::{
    units::Grade,
    verdict::{Confidence, Remedy},
};

pub fn check(case: &Case<'_>) -> Outcome {
    let age = case.container_age().ok_or("the victim's start is unknown")?;
    let limit = case.limit.ok_or("the limit is unknown")?;
    if age > LONGEST_START || leak::is_steady(case) {
        return Ok(None);
    }
    let in_steps = case.settled().is_some();
    let rss = case.record.victim.memory.rss();
    let mut evidence = vec![
        fact("age of the victim's container", format!("{age:.1} s"), Grade::Read),
        fact("limit", limit, Grade::Read),
    ];
    evidence.extend(rss.map(|rss| fact("resident in the victim", rss, Grade::Read)));
    let workers = Workers::of(case);
    evidence.extend(workers.as_ref().map(Workers::fact));
    evidence.extend(super::fastest(case));
    let advised = young::advised(limit);
    Ok(Some(Cause {
        kind: CauseKind::StartUp,
        confidence: if in_steps { Confidence::Low } else { Confidence::Medium },
        sentence: format!(
            "memory grew {}from the start until it reached the limit of {limit} {age:.1} s later: a start that needs \
             more, or a leak",
            if in_steps { "in steps " } else { "" }
        ),
        evidence,
        remedies: vec![Remedy {
            text: format!(
                "give the program room to start, and later set the limit by what it used: for once raise it to {advised}"
            ),
            setting: Some(advised.0.to_string()),
        }]
        .into_iter()
        .chain(workers.as_ref().map(Workers::remedy))
        .collect(),
        doubt: Some(young::doubt(case, limit, CauseKind::Leak)),
    }))
}
