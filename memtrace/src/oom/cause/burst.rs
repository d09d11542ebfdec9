//! Burst: firm memory had settled, and then rose by much in a short time.

use super::{
    Case, Cause, CauseKind, Outcome,
    case::{fact, percent, share},
};
use crate::{
    units::{Bytes, Grade},
    verdict::{Confidence, Remedy},
};

/// The lengths of a short time, in seconds; the daemon samples once a second.
const MOMENTS: [f64; 2] = [2.0, 4.0];
/// The rise must be this many times the largest rise in an equal time before: steady growth is no burst.
const MORE: f64 = 3.0;
/// The least rise, as a part of the limit.
const LEAST_RISE: f64 = 0.25;
/// A rise from which the confidence is high.
const LARGE: f64 = 0.4;

pub fn check(case: &Case<'_>) -> Outcome {
    let limit = case.limit.ok_or("the limit is unknown")?;
    let at_kill = case.firm.ok_or("the usage is unknown")?;
    let Some(settled) = case.settled_at() else { return Ok(None) };
    let samples = case.samples();
    let found = MOMENTS.into_iter().find_map(|moment| {
        let before = case.point_before(moment)?.firm()?;
        let rise = at_kill.0.saturating_sub(before.0);
        // How it came up before it settled says nothing about its usual growth.
        let earlier = samples.iter().filter(|sample| sample.at <= -moment && sample.at >= settled);
        let most = earlier.clone().map(|to| {
            let from = samples.iter().rev().find(|from| from.at <= to.at - moment && from.at >= settled);
            from.map_or(0.0, |from| to.value - from.value)
        });
        let usual = most.fold(0.0, f64::max);
        (rise as f64 >= MORE * usual && share(Bytes(rise), limit) >= LEAST_RISE).then_some((
            moment,
            before,
            Bytes(rise),
        ))
    });
    let Some((moment, before, rise)) = found else {
        return if samples.len() < 4 {
            Err(format!("not enough samples: {}", samples.len()))
        } else {
            Ok(None)
        };
    };
    let part = share(rise, limit);
    let mut evidence = vec![
        fact(format!("usage without page cache, {moment:.0} s before"), before, Grade::Read),
        fact("usage without page cache at the kill", at_kill, Grade::Read),
        fact("growth as a share of the limit", percent(part), Grade::Read),
    ];
    evidence.extend(case.cache_given_up());
    evidence.extend(super::fastest(case));
    Ok(Some(Cause {
        kind: CauseKind::Burst,
        confidence: if part >= LARGE { Confidence::High } else { Confidence::Medium },
        sentence: format!(
            "memory grew by {rise} within {moment:.0} s, from {before} to the limit of {limit}"
        ),
        evidence,
        remedies: vec![Remedy {
            text:
                "find what allocates so much at once (see the call stacks), and limit its size or concurrency"
                    .into(),
            setting: None,
        }],
        doubt: None,
    }))
}
