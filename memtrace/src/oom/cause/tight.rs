//! Limit too tight: firm memory was just below the limit for long, and then rose a little.

use super::{
    Case, Cause, CauseKind, Outcome,
    case::{fact, percent},
    workers::Workers,
};
use crate::{
    units::{Bytes, Grade},
    verdict::{Confidence, Remedy, trend},
};

/// The least level, as a part of the limit.
const NEAR: f64 = 0.8;
/// The shortest time at that level, in seconds.
const SHORTEST: f64 = 8.0;
/// A time from which the confidence is high, in seconds.
const LONG: f64 = 60.0;
/// The largest variation in that time, as a part of the limit.
const FLAT: f64 = 0.1;
/// Seconds before the kill that are ignored, because usage changes then.
const END: f64 = 2.0;
/// The suggested limit, as a multiple of the level.
const ADVISED: f64 = 1.25;

pub fn check(case: &Case<'_>) -> Outcome {
    let limit = case.limit.ok_or("the limit is unknown")?;
    let samples: Vec<_> = case.samples().into_iter().filter(|sample| sample.at < -END).collect();
    if samples.len() < SHORTEST as usize {
        return Err(format!("not enough samples: {}", samples.len()));
    }
    let end = samples.last().map_or(0.0, |sample| sample.at);
    let near: Vec<_> =
        samples.iter().rev().take_while(|sample| sample.value >= NEAR * limit.0 as f64).copied().collect();
    let since = near.last().map_or(0.0, |sample| end - sample.at);
    let moved = near
        .iter()
        .map(|sample| sample.value)
        .fold((f64::MAX, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    if since < SHORTEST || moved.1 - moved.0 > FLAT * limit.0 as f64 {
        return Ok(None);
    }
    let level =
        trend::median(&mut near.iter().map(|sample| sample.value).collect::<Vec<_>>()).unwrap_or_default();
    let level = Bytes(level as u64);
    let part = level.0 as f64 / limit.0 as f64;
    let advised = Bytes((level.0 as f64 * ADVISED) as u64 >> 20 << 20);
    let workers = Workers::of(case);
    Ok(Some(Cause {
        kind: CauseKind::LimitTooTight,
        confidence: if since >= LONG { Confidence::High } else { Confidence::Medium },
        sentence: format!(
            "usage without page cache was steady at {level}, {} of the limit of {limit}, then more than the {} that were left \
             was needed",
            percent(part),
            Bytes(limit.0.saturating_sub(level.0))
        ),
        evidence: vec![
            fact("steady usage", level, Grade::Read),
            fact("for", format!("{since:.0} s"), Grade::Read),
            fact("variation in that time", Bytes((moved.1 - moved.0) as u64), Grade::Read),
            fact("limit", limit, Grade::Read),
        ]
        .into_iter()
        .chain(workers.as_ref().map(Workers::fact))
        .collect(),
        remedies: vec![Remedy {
            text: format!("reduce memory use, or raise the limit to {advised}"),
            setting: Some(advised.0.to_string()),
        }]
        .into_iter()
        .chain(workers.as_ref().map(Workers::remedy))
        .collect(),
        doubt: None,
    }))
}
