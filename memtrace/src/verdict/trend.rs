//! Robust statistics of a figure over time: slope, monotony, restarts, floors.
//!
//! Input: samples, oldest first. Output: numbers, `None` where there are too few. Pure. Theil-Sen's slope is the median
//! of all pairwise slopes, so up to 29 % of the samples may be outliers. Mann and Kendall's tau tells how often a later
//! sample is higher than an earlier one, by any amount.

use crate::{history::series::Point, units::Bytes};

/// A value at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Seconds.
    pub at: f64,
    /// Bytes.
    pub value: f64,
}

/// The least number of samples for a result.
pub const FEWEST: usize = 5;
/// The most samples that are used; more are thinned out first, because the cost grows with the number of pairs.
const MOST: usize = 120;
/// A fall by more than this fraction between two samples is a restart, unless the process is known to be older:
/// allocators give back less at once, but a collector may not.
const RESTART_FALL: f64 = 0.5;
/// How far a process that was started anew may be older than the fall, in seconds: the longest interval of history.
const RESTART_SLACK: f64 = 60.0;

/// The values of a series, without unknown ones.
pub fn samples<const N: usize>(
    points: &[Point<N>],
    value: impl Fn(&Point<N>) -> Option<Bytes>,
) -> Vec<Sample> {
    points
        .iter()
        .filter_map(|point| {
            let Bytes(bytes) = value(point)?;
            Some(Sample { at: point.second as f64 + point.length as f64 / 2.0, value: bytes as f64 })
        })
        .collect()
}

/// The samples after the last restart. `started`: when the process that holds most of the memory started, if known.
pub fn since_restart(samples: &[Sample], started: Option<f64>) -> &[Sample] {
    let restarted = samples.windows(2).rposition(|pair| match pair {
        [before, after] => {
            after.value < before.value * (1.0 - RESTART_FALL)
                && started.is_none_or(|started| before.at <= started + RESTART_SLACK)
        }
        _ => false,
    });
    restarted.and_then(|index| samples.get(index + 1..)).unwrap_or(samples)
}

/// Theil-Sen's slope, in bytes a second.
pub fn slope(samples: &[Sample]) -> Option<f64> {
    if samples.len() < FEWEST {
        return None;
    }
    // Most figures of a node are still, and all pairs of points say so.
    if samples.iter().all(|sample| Some(sample.value) == samples.first().map(|first| first.value)) {
        let lasts = samples.first().zip(samples.last()).is_some_and(|(first, last)| first.at < last.at);
        return lasts.then_some(0.0);
    }
    let samples = thin(samples);
    let mut slopes: Vec<f64> = pairs(&samples)
        .filter(|(a, b)| b.at > a.at)
        .map(|(a, b)| (b.value - a.value) / (b.at - a.at))
        .collect();
    median(&mut slopes)
}

/// Kendall's tau against time: 1 when every later sample is higher, -1 when every one is lower, 0 for no order. Equal
/// samples count for neither.
pub fn tau(samples: &[Sample]) -> Option<f64> {
    if samples.len() < FEWEST {
        return None;
    }
    let samples = thin(samples);
    let (mut sum, mut count) = (0_i64, 0_i64);
    for (a, b) in pairs(&samples) {
        sum += i64::from(b.value > a.value) - i64::from(b.value < a.value);
        count += 1;
    }
    (count > 0).then(|| sum as f64 / count as f64)
}

/// Whether a tau of this many samples is significant at 1 % (Mann and Kendall's test, normal approximation, one-sided).
pub fn is_significant(tau: f64, samples: usize) -> bool {
    const Z: f64 = 2.33;
    let n = samples.min(MOST) as f64;
    let deviation = (2.0 * (2.0 * n + 5.0) / (9.0 * n * (n - 1.0))).sqrt();
    tau > Z * deviation
}

/// The lowest sample in each of `blocks` equal intervals. Collections move the samples, but not these floors.
pub fn floors(samples: &[Sample], blocks: usize) -> Vec<Sample> {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Vec::new() };
    let length = (last.at - first.at) / blocks.max(1) as f64;
    if length <= 0.0 || samples.len() <= blocks {
        return samples.to_vec();
    }
    let mut floors: Vec<(usize, Sample)> = Vec::with_capacity(blocks);
    for sample in samples {
        let block = (((sample.at - first.at) / length) as usize).min(blocks - 1);
        match floors.last_mut() {
            Some((number, lowest)) if *number == block => {
                if sample.value < lowest.value {
                    *lowest = *sample;
                }
            }
            _ => floors.push((block, *sample)),
        }
    }
    floors.into_iter().map(|(_, sample)| sample).collect()
}

/// The median; `None` without values.
pub fn median(values: &mut [f64]) -> Option<f64> {
    let middle = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    let (below, value, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let value = *value;
    if below.len() > middle.saturating_sub(1) && below.len() * 2 == values.len() {
        let low = values.get(..middle)?.iter().copied().max_by(f64::total_cmp)?;
        return Some(f64::midpoint(low, value));
    }
    Some(value)
}

fn pairs(samples: &[Sample]) -> impl Iterator<Item = (&Sample, &Sample)> {
    samples
        .iter()
        .enumerate()
        .flat_map(|(index, a)| samples.get(index + 1..).unwrap_or_default().iter().map(move |b| (a, b)))
}

/// An even selection that includes the last sample.
fn thin(samples: &[Sample]) -> Vec<Sample> {
    let step = samples.len().div_ceil(MOST).max(1);
    samples.iter().rev().step_by(step).rev().copied().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Sample, floors, is_significant, median, since_restart, slope, tau};

    pub fn line(values: impl IntoIterator<Item = f64>) -> Vec<Sample> {
        values.into_iter().enumerate().map(|(at, value)| Sample { at: at as f64, value }).collect()
    }

    #[test]
    fn a_line_has_its_slope_whatever_a_quarter_of_it_is() {
        let mut samples = line((0..100).map(|at| 1000.0 + 7.0 * f64::from(at)));
        for index in (0..100).step_by(4) {
            samples[index].value = 1e9;
        }
        assert!((slope(&samples).unwrap() - 7.0).abs() < 0.5, "{:?}", slope(&samples));
        assert_eq!(slope(&samples[..4]), None);
    }

    #[test]
    fn tau_is_the_order() {
        assert_eq!(tau(&line([1.0, 2.0, 3.0, 4.0, 5.0])), Some(1.0));
        assert_eq!(tau(&line([5.0, 4.0, 3.0, 2.0, 1.0])), Some(-1.0));
        assert_eq!(tau(&line([3.0; 9])), Some(0.0));
        assert!(is_significant(1.0, 5) && !is_significant(0.3, 10));
    }

    #[test]
    fn only_what_came_after_the_restart_counts() {
        let samples = line([10.0, 20.0, 30.0, 5.0, 6.0, 4.0]);
        assert_eq!(since_restart(&samples, None), &samples[3..]);
        assert_eq!(since_restart(&samples[..3], None), &samples[..3]);
        let long: Vec<Sample> =
            samples.iter().map(|sample| Sample { at: sample.at * 100.0, ..*sample }).collect();
        assert_eq!(since_restart(&long, Some(300.0)), &long[3..], "started anew");
        assert_eq!(
            since_restart(&long, Some(-9.0)),
            &long[..],
            "what is as old as that only gave memory back"
        );
    }

    #[test]
    fn floors_are_what_is_left_after_each_collection() {
        let sawtooth = line((0..100).map(|at| 100.0 + f64::from(at % 10)));
        let floors = floors(&sawtooth, 10);
        assert_eq!(floors.len(), 10);
        assert!(floors.iter().all(|floor| floor.value <= 101.0), "{floors:?}");
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&mut []), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn slope_and_tau_scale(values in prop::collection::vec(1.0_f64..1e9, 5..60), factor in 0.1_f64..100.0) {
            let samples = line(values.iter().copied());
            let scaled = line(values.iter().map(|value| value * factor));
            let (a, b) = (slope(&samples).unwrap() * factor, slope(&scaled).unwrap());
            prop_assert!((a - b).abs() <= 1e-6 * (1.0 + a.abs()), "{a} {b}");
            prop_assert_eq!(tau(&samples), tau(&scaled));
        }
    }
}
