//! Leak: the memory that remains after each collection grows, and still grows at the end.
//!
//! The floors rise significantly (Mann and Kendall, Theil and Sen). Only anonymous memory counts, because the kernel
//! cannot reclaim it; page cache always grows.

use super::{Confidence, Fact, Finding, Kind, Outcome, Picture, Remedy, number, rate};
use crate::units::{Bytes, Grade};

/// The least growth, as a fraction of the present size.
pub const LEAST_RISE: f64 = 0.05;
/// The least Kendall's tau of the floors.
pub const LEAST_TAU: f64 = 0.75;
/// The least slope at the end, as a fraction of the whole slope (coroot's rule, proven in the field).
pub const LEAST_LATE: f64 = 0.3;
/// Growth over a shorter time, in seconds, is start-up.
pub const SHORTEST: f64 = 60.0;
/// Time spans, in seconds, from which the confidence is medium, and high if the growth is large.
const SPAN: (f64, f64) = (600.0, 3600.0);
/// Large growth, as a fraction of the present size.
const LARGE: f64 = 0.2;

pub fn check(picture: &Picture<'_>) -> Outcome {
    let shape = picture.shape.clone()?;
    if shape.span < SHORTEST {
        return Err(format!("only {:.0} s of history", shape.span));
    }
    let still_grows = shape.late_slope >= LEAST_LATE * shape.slope;
    let grows = shape.is_significant && shape.tau >= LEAST_TAU && shape.rise_share() >= LEAST_RISE;
    if !(grows && still_grows) {
        return Ok(None);
    }
    let confidence = match shape.span {
        span if span >= SPAN.1 && shape.rise_share() >= LARGE => Confidence::High,
        span if span >= SPAN.0 => Confidence::Medium,
        _ => Confidence::Low,
    };
    let fastest = picture
        .arenas
        .iter()
        .filter_map(|arena| Some((arena, arena.growth_bytes.iter().rev().copied().flatten().next()?)))
        .filter(|(_, growth)| *growth > 0)
        .max_by_key(|(_, growth)| *growth);
    let mut evidence = vec![
        Fact { what: "growth of anonymous memory".into(), value: number(shape.rise()), grade: Grade::Read },
        Fact { what: "over".into(), value: format!("{:.0} s", shape.span), grade: Grade::Read },
        Fact {
            what: "trend of the low points (Kendall's tau; 1: always rising)".into(),
            value: format!("{:.2} of {}", shape.tau, shape.floors.len()),
            grade: Grade::Inferred,
        },
        Fact { what: "recent growth".into(), value: rate(shape.late_slope), grade: Grade::Inferred },
    ];
    if let Some((arena, growth)) = fastest {
        evidence.push(Fact {
            what: format!("fastest growth: {} {}", arena.allocator, arena.kind),
            value: Bytes(growth.unsigned_abs()).to_string(),
            grade: arena.grade,
        });
    }
    Ok(Some(Finding {
        kind: Kind::Leak,
        confidence,
        sentence: format!(
            "memory grows steadily by {}: {} in {:.0} minutes",
            rate(shape.slope),
            number(shape.rise()),
            shape.span / 60.0
        ),
        evidence,
        remedies: vec![Remedy {
            text: "find the call stacks that touch the most new memory: `memtrace top --by stack`".into(),
            setting: None,
        }],
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Confidence, check};
    use crate::verdict::{Picture, shape::Shape, shape::fixture::samples};

    fn found(values: impl IntoIterator<Item = f64>, spacing: f64) -> Option<Confidence> {
        let mut samples = samples(values);
        samples.iter_mut().for_each(|sample| sample.at *= spacing);
        let shape = Shape::of(&samples);
        let finding = check(&Picture { shape: shape.as_ref().map_err(Clone::clone), ..Picture::default() });
        finding.unwrap().map(|finding| finding.confidence)
    }

    #[test]
    fn steady_growth_is_a_leak_and_time_makes_it_sure() {
        let line = |count: i32| (0..count).map(|at| 100.0 + f64::from(at));
        assert_eq!(found(line(70), 1.0), Some(Confidence::Low));
        assert_eq!(found(line(700), 1.0), Some(Confidence::Medium));
        assert_eq!(found(line(120), 60.0), Some(Confidence::High));
    }

    #[test]
    fn a_collector_does_not_hide_it() {
        let values = (0..600).map(|at| 100.0 + f64::from(at) * 0.2 + f64::from(at % 20) * 3.0);
        assert!(found(values, 1.0).is_some());
    }

    #[test]
    fn growth_that_has_ended_is_none() {
        let values = (0..600).map(|at| 100.0 + f64::from(at.min(300)));
        assert_eq!(found(values, 1.0), None);
    }

    #[test]
    fn a_start_is_none() {
        let shape = Shape::of(&samples((0..30).map(f64::from)));
        let picture = Picture { shape: shape.as_ref().map_err(Clone::clone), ..Picture::default() };
        assert_eq!(check(&picture).unwrap_err(), "only 29 s of history");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Noise without a trend is never a leak.
        #[test]
        fn noise_is_none(values in prop::collection::vec(600.0_f64..1000.0, 120..400)) {
            prop_assert_eq!(found(values, 1.0), None);
        }

        /// The verdict does not depend on the size.
        #[test]
        fn it_scales(values in prop::collection::vec(0.0_f64..3.0, 100..200), factor in 1.0_f64..1e6) {
            let of = |factor: f64| {
                let mut sum = 100.0;
                let walk = values.iter().map(|step| { sum += step; sum * factor }).collect::<Vec<_>>();
                found(walk, 1.0)
            };
            prop_assert_eq!(of(1.0), of(factor));
        }
    }
}
