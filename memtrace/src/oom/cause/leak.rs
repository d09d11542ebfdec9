//! Leak: firm memory grew without end until it reached the limit.
//!
//! The same statistics as the leak verdict, on the firm memory of the limit's owner since the victim started. Reaching the
//! limit is additional evidence, so a shorter time is enough.

use super::{
    Case, Cause, CauseKind, Outcome,
    case::{fact, share},
    young,
};
use crate::{
    units::{Bytes, Grade},
    verdict::{Confidence, Remedy, rate, shape::Shape},
};

/// The least growth, as a part of the limit.
const LEAST_RISE: f64 = 0.2;
/// The least rank correlation (Kendall's tau) of the floors with time.
const LEAST_TAU: f64 = 0.7;
/// The least late growth, as a part of the overall slope.
const LEAST_LATE: f64 = 0.3;
/// Growth over a shorter time is a burst or a start; in seconds.
const SHORTEST: f64 = 8.0;
/// A span from which the confidence is high if tau is at least [`STRICT_TAU`]; in seconds.
const LONG: f64 = 300.0;
/// See [`LONG`].
const STRICT_TAU: f64 = 0.9;

pub fn check(case: &Case<'_>) -> Outcome {
    let limit = case.limit.ok_or("the limit is unknown")?;
    let shape = Shape::of(&case.samples())?;
    if !grows(&shape, limit) {
        return Ok(None);
    }
    let rise = rise(&shape);
    let mut evidence = vec![
        fact("growth", rise, Grade::Read),
        fact("over", format!("{:.0} s", shape.span), Grade::Read),
        fact("steady rate", rate(shape.slope), Grade::Inferred),
        fact("trend (Kendall's tau; 1: always rising)", format!("{:.2}", shape.tau), Grade::Inferred),
        fact("samples", shape.samples, Grade::Read),
    ];
    evidence.extend(case.cache_given_up());
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
        doubt: young::is_starting(case).then(|| young::doubt(case, limit, CauseKind::StartUp)),
    }))
}

/// Whether growth was steady from the start of the victim's container to its kill.
pub(super) fn is_steady(case: &Case<'_>) -> bool {
    let shape = Shape::of(&case.samples()).ok();
    shape.zip(case.limit).is_some_and(|(shape, limit)| shape.tau >= STRICT_TAU && grows(&shape, limit))
}

fn grows(shape: &Shape, limit: Bytes) -> bool {
    shape.span >= SHORTEST
        && shape.is_significant
        && shape.tau >= LEAST_TAU
        && share(rise(shape), limit) >= LEAST_RISE
        && shape.late_slope >= LEAST_LATE * shape.slope
}

fn rise(shape: &Shape) -> Bytes {
    Bytes(shape.rise().max(0.0) as u64)
}
