//! Sawtooth: memory rises and falls by much around a constant level, as with a garbage collector or batches.

use super::{Confidence, Fact, Finding, Kind, Outcome, Picture, number, trend::Sample};
use crate::units::Grade;

/// The least fall, as a fraction of the peak before it.
const TOOTH: f64 = 0.1;
/// The least number of falls; fewer may be chance.
const FEWEST: usize = 3;
/// The greatest spread of the falls, as a fraction of their median.
const EVEN: f64 = 0.6;

/// The falls from a peak to the next valley, each larger than [`TOOTH`].
pub fn falls(samples: &[Sample]) -> Vec<f64> {
    let mut falls = Vec::new();
    let mut peak = 0.0_f64;
    let mut valley: Option<f64> = None;
    for sample in samples {
        match valley {
            None if sample.value < peak * (1.0 - TOOTH) => valley = Some(sample.value),
            None => peak = peak.max(sample.value),
            Some(low) if sample.value < low => valley = Some(sample.value),
            Some(low) if sample.value > low + peak * TOOTH / 2.0 => {
                falls.push(peak - low);
                (peak, valley) = (sample.value, None);
            }
            Some(_) => {}
        }
    }
    falls
}

pub fn check(picture: &Picture<'_>) -> Outcome {
    if picture.samples.len() < super::shape::FEWEST {
        return Err(format!("not enough samples: {}", picture.samples.len()));
    }
    let mut falls = falls(picture.samples);
    if falls.len() < FEWEST {
        return Ok(None);
    }
    let count = falls.len();
    let Some(median) = super::trend::median(&mut falls) else { return Ok(None) };
    let mut off: Vec<f64> = falls.iter().map(|fall| (fall - median).abs()).collect();
    if super::trend::median(&mut off).is_none_or(|spread| spread > EVEN * median) {
        return Ok(None);
    }
    Ok(Some(Finding {
        kind: Kind::Sawtooth,
        confidence: if count >= 2 * FEWEST { Confidence::High } else { Confidence::Medium },
        sentence: format!("memory rises and falls by {}, {count} times so far", number(median)),
        evidence: vec![
            Fact { what: "falls".into(), value: count.to_string(), grade: Grade::Read },
            Fact { what: "their median".into(), value: number(median), grade: Grade::Read },
        ],
        remedies: Vec::new(),
    }))
}

#[cfg(test)]
mod tests {
    use super::{check, falls};
    use crate::verdict::{Picture, shape::fixture::samples};

    fn is_sawtooth(values: impl IntoIterator<Item = f64>) -> bool {
        let samples = samples(values);
        check(&Picture { samples: &samples, ..Picture::default() }).unwrap().is_some()
    }

    #[test]
    fn a_collector_makes_one() {
        let values = (0..200).map(|at| 100.0 + f64::from(at % 20) * 5.0);
        assert_eq!(falls(&samples(values.clone())).len(), 9);
        assert!(is_sawtooth(values));
    }

    #[test]
    fn small_waves_and_lines_are_none() {
        assert!(!is_sawtooth((0..200).map(|at| 100.0 + f64::from(at % 20) * 0.2)));
        assert!(!is_sawtooth((0..200).map(f64::from)));
        assert!(!is_sawtooth((0..200).map(|at| if at == 100 { 10.0 } else { 100.0 })), "one fall is none");
    }
}
