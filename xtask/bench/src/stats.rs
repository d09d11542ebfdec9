//! Medians and spreads of paired figures.
//!
//! Figures -> a summary. Pure. Must not know what was measured.

use serde::Serialize;

/// A median with the figures around it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    /// First and third quartile.
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) count: usize,
}

/// Of one figure in each round; `None` of none.
pub(crate) fn summary(figures: &[f64]) -> Option<Summary> {
    let mut sorted: Vec<f64> = figures.iter().copied().filter(|figure| figure.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    Some(Summary {
        median: quantile(&sorted, 2)?,
        low: quantile(&sorted, 1)?,
        high: quantile(&sorted, 3)?,
        count: sorted.len(),
    })
}

/// Where a median is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Interval {
    pub(crate) from: f64,
    pub(crate) to: f64,
}

/// The interval that has the median of what the figures are a sample of, with at least 95 % confidence, whatever their
/// distribution; `None` of less than six, which are not enough for any.
pub(crate) fn interval(figures: &[f64]) -> Option<Interval> {
    let mut sorted: Vec<f64> = figures.iter().copied().filter(|figure| figure.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len();
    // The median is below the figure number `cut` when fewer than `cut + 1` of them are below it: a binomial tail.
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let ways = |of: usize| (0..of).map(|at| (count - at) as f64 / (at + 1) as f64).product::<f64>();
    let half = i32::try_from(count).ok().map(|count| 0.5_f64.powi(count))?;
    let mut tail = 0.0;
    let mut cut = None;
    for below in 0..count / 2 {
        tail += ways(below) * half;
        if tail > 0.025 {
            break;
        }
        cut = Some(below);
    }
    let cut = cut?;
    Some(Interval { from: *sorted.get(cut)?, to: *sorted.get(count - 1 - cut)? })
}

/// Of each round's figure to the same round's base.
pub(crate) fn ratios(figures: &[f64], bases: &[f64]) -> Vec<f64> {
    figures.iter().zip(bases).map(|(figure, base)| figure / base).collect()
}

/// The figure below which so many quarters are, between neighbours where there is none.
fn quantile(sorted: &[f64], quarters: usize) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let (at, rest) = (last * quarters / 4, last * quarters % 4);
    let below = *sorted.get(at)?;
    let above = *sorted.get(at + 1).unwrap_or(&below);
    #[expect(clippy::cast_precision_loss, reason = "less than 4")]
    let part = rest as f64 / 4.0;
    Some(below + (above - below) * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_figures_are_between_the_quartiles() {
        let all = summary(&[5.0, 1.0, 3.0, 2.0, 4.0]).unwrap();
        assert_eq!((all.low, all.median, all.high, all.count), (2.0, 3.0, 4.0, 5));
        assert_eq!(summary(&[1.0, 2.0]).unwrap().median, 1.5);
        assert_eq!(summary(&[]), None);
    }

    #[test]
    fn a_median_is_somewhere_in_the_middle() {
        let figures = |count: u32| (1..=count).map(f64::from).collect::<Vec<_>>();
        assert_eq!(interval(&figures(5)), None);
        assert_eq!(interval(&figures(6)), Some(Interval { from: 1.0, to: 6.0 }));
        // As in tables of the sign test.
        assert_eq!(interval(&figures(20)), Some(Interval { from: 6.0, to: 15.0 }));
        assert_eq!(interval(&figures(40)), Some(Interval { from: 14.0, to: 27.0 }));
    }

    #[test]
    fn a_round_is_compared_with_itself() {
        assert_eq!(ratios(&[2.0, 9.0], &[1.0, 3.0]), [2.0, 3.0]);
    }
}
