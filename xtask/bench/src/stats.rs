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
    fn a_round_is_compared_with_itself() {
        assert_eq!(ratios(&[2.0, 9.0], &[1.0, 3.0]), [2.0, 3.0]);
    }
}
