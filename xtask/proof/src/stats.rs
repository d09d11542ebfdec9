//! Medians and means, with intervals by resampling.
//!
//! Figures -> [`Interval`]. Pure: the same figures give the same interval.

use serde::Serialize;

/// Resamples; the ends of a 95 % interval are then 50 from both ends.
const RESAMPLES: usize = 2000;
const TAIL: usize = RESAMPLES / 40;
const SEED: u64 = 20;

/// A figure, and the 95 % interval of what it estimates (percentile bootstrap).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Interval {
    pub(crate) middle: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The median.
pub(crate) fn median(figures: &[f64]) -> Interval {
    resample(figures, middle)
}

/// The mean.
pub(crate) fn mean(figures: &[f64]) -> Interval {
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    resample(figures, |figures| figures.iter().sum::<f64>() / figures.len() as f64)
}

fn resample<T: Copy>(figures: &[T], of: impl Fn(&[T]) -> f64) -> Interval {
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut drawn = || -> f64 {
        let sample: Vec<T> =
            (0..figures.len()).filter_map(|_| figures.get(random.usize(..figures.len())).copied()).collect();
        of(&sample)
    };
    let mut all: Vec<f64> = (0..RESAMPLES).map(|_| drawn()).collect();
    all.sort_by(f64::total_cmp);
    let at = |index: usize| all.get(index).copied().unwrap_or(f64::NAN);
    Interval { middle: of(figures), low: at(TAIL), high: at(RESAMPLES - 1 - TAIL) }
}

fn middle(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => at(count / 2),
        count => f64::midpoint(at(count / 2 - 1), at(count / 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_holds_the_median_and_is_narrow_for_equal_figures() {
        let figures: Vec<f64> = (1..=101).map(f64::from).collect();
        let Interval { middle, low, high } = median(&figures);
        assert_eq!(middle, 51.0);
        // The exact one of the sign test is 41 to 61.
        assert!((38.0..46.0).contains(&low) && (56.0..64.0).contains(&high), "{low} {high}");
        assert_eq!(median(&[2.0; 9]), Interval { middle: 2.0, low: 2.0, high: 2.0 });
        assert_eq!(median(&[1.0, 2.0]).middle, 1.5);
    }

    #[test]
    fn a_mean_counts_each_figure() {
        assert_eq!(mean(&[0.0, 0.0, 0.0, 10.0]).middle, 2.5);
        assert!(median(&[]).middle.is_nan());
    }
}
