//! Leak: it grew without end until it met its limit.
//!
//! The same statistics as the verdict of that name, on the usage of the limit's owner since the victim began. That it
//! met the limit is evidence of its own, so less time is asked for.

use super::{
    Case, Cause, CauseKind, Outcome,
    case::{fact, share},
};
use crate::{
    units::{Bytes, Grade},
    verdict::{Confidence, Remedy, rate, shape::Shape},
};

/// At least so much of the limit it must have grown by.
const LEAST_RISE: f64 = 0.2;
/// The floors must be in order to this degree.
const LEAST_TAU: f64 = 0.7;
/// At the end it must still have grown at this part of its slope.
const LEAST_LATE: f64 = 0.3;
/// Growth over less than this is a burst or a start, in seconds.
const SHORTEST: f64 = 8.0;
/// From this span on it is sure, in seconds, when the order is nearly perfect.
const LONG: f64 = 300.0;
/// See [`LONG`].
const STRICT_TAU: f64 = 0.9;

pub fn check(case: &Case<'_>) -> Outcome {
    let limit = case.limit.ok_or("the limit is unknown")?;
    let shape = Shape::of(&case.samples())?;
    let rise = Bytes(shape.rise().max(0.0) as u64);
    let is_leak = shape.span >= SHORTEST
        && shape.is_significant
        && shape.tau >= LEAST_TAU
        && share(rise, limit) >= LEAST_RISE
        && shape.late_slope >= LEAST_LATE * shape.slope;
    if !is_leak {
        return Ok(None);
    }
    let mut evidence = vec![
        fact("growth", rise, Grade::Read),
        fact("over", format!("{:.0} s", shape.span), Grade::Read),
        fact("steady rate", rate(shape.slope), Grade::Inferred),
        fact("trend (Kendall's tau; 1: always rising)", format!("{:.2}", shape.tau), Grade::Inferred),
        fact("samples", shape.samples, Grade::Read),
    ];
    evidence.extend(super::fastest(case));
    Ok(Some(Cause {
        kind: CauseKind::Leak,
        confidence: if shape.span >= LONG && shape.tau >= STRICT_TAU {
            Confidence::High
        } else {
            Confidence::Medium
        },
        sentence: format!(
            "memory grew steadily by {}: {rise} in {:.0} s, up to the limit of {limit}",
            rate(shape.slope),
            shape.span
        ),
        evidence,
        remedies: vec![Remedy {
            text: "find the call stacks that touch the most new memory; a higher limit only delays the next kill".into(),
            setting: None,
        }],
    }))
}
