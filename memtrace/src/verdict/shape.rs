//! The shape of a figure over time: its start and end, its trend, and how much it swings.
//!
//! Input: samples, oldest first. Output: [`Shape`], on which the verdicts are based. Pure. A figure twice as large has
//! the same verdicts.

use super::trend::{self, Sample};

/// The number of intervals whose floors are compared.
pub const BLOCKS: usize = 24;
/// The least number of samples.
pub const FEWEST: usize = 12;

#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// The number of samples since the last restart.
    pub samples: usize,
    /// Their time span in seconds.
    pub span: f64,
    /// The floor of each interval, oldest first.
    pub floors: Vec<Sample>,
    /// Median of the samples.
    pub level: f64,
    /// Highest sample.
    pub peak: f64,
    /// The median of the first three floors.
    pub first: f64,
    /// The median of the last three floors.
    pub last: f64,
    /// Slope of the floors, bytes a second, robust.
    pub slope: f64,
    /// Slope of the last third of the floors.
    pub late_slope: f64,
    /// Kendall's tau of the floors.
    pub tau: f64,
    /// Whether the tau is significant.
    pub is_significant: bool,
}

impl Shape {
    /// The shape of the samples after the last restart. `started`: when the process that holds most of the memory
    /// started, if known.
    ///
    /// # Errors
    /// The reason why there is none.
    pub fn of(samples: &[Sample], started: Option<f64>) -> Result<Self, String> {
        let samples = trend::since_restart(samples, started);
        if samples.len() < FEWEST {
            return Err(format!("not enough samples: {}", samples.len()));
        }
        let few = || format!("not enough samples: {}", samples.len());
        let floors = trend::floors(samples, BLOCKS);
        let third = floors.len() - floors.len() / 3;
        // Of few floors the last third is too short for a slope of its own.
        let third = third.min(floors.len().saturating_sub(trend::FEWEST));
        let late = floors.get(third..).unwrap_or_default();
        let tau = trend::tau(&floors).ok_or_else(few)?;
        let mut values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
        let ends =
            |range: &[Sample]| trend::median(&mut range.iter().map(|floor| floor.value).collect::<Vec<_>>());
        let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Err(few()) };
        Ok(Self {
            samples: samples.len(),
            span: last.at - first.at,
            level: trend::median(&mut values).ok_or_else(few)?,
            peak: values.iter().copied().fold(0.0, f64::max),
            first: floors.get(..3).and_then(ends).ok_or_else(few)?,
            last: floors.get(floors.len().saturating_sub(3)..).and_then(ends).ok_or_else(few)?,
            slope: trend::slope(&floors).ok_or_else(few)?,
            late_slope: trend::slope(late).ok_or_else(few)?,
            tau,
            is_significant: trend::is_significant(tau, floors.len()),
            floors,
        })
    }

    /// The rise of the floors in bytes, robust.
    pub fn rise(&self) -> f64 {
        self.slope * self.span
    }

    /// The rise as a fraction of the final level.
    pub fn rise_share(&self) -> f64 {
        if self.last > 0.0 { self.rise() / self.last } else { 0.0 }
    }
}

#[cfg(test)]
/// Shapes for the verdicts' tests.
pub mod fixture {
    use super::{Sample, Shape};

    /// Samples a second apart.
    pub fn samples(values: impl IntoIterator<Item = f64>) -> Vec<Sample> {
        values.into_iter().enumerate().map(|(at, value)| Sample { at: at as f64, value }).collect()
    }

    /// Their shape.
    pub fn shape(values: impl IntoIterator<Item = f64>) -> Shape {
        Shape::of(&samples(values), None).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Shape,
        fixture::{samples, shape},
    };

    #[test]
    fn thin_evidence_has_no_shape() {
        assert_eq!(Shape::of(&samples([1.0, 2.0, 3.0]), None).unwrap_err(), "not enough samples: 3");
        assert_eq!(Shape::of(&[], None).unwrap_err(), "not enough samples: 0");
    }

    #[test]
    fn a_line_rises_by_what_it_rises() {
        let shape = shape((0..240).map(|second| 1000.0 + 10.0 * f64::from(second)));
        assert!((shape.rise() - 2390.0).abs() < 1.0, "{shape:?}");
        assert!(shape.is_significant && shape.tau > 0.99);
        assert!((shape.late_slope - 10.0).abs() < 0.1);
    }

    #[test]
    fn the_time_before_a_restart_does_not_count() {
        let shape = shape((0..100).map(f64::from).chain((0..50).map(|_| 10.0)));
        assert_eq!((shape.samples, shape.rise()), (50, 0.0));
    }
}
