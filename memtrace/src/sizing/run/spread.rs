//! How runs differ: the median of their peaks, and the spread around it.
//!
//! Peaks -> [`Spread`].

use serde::{Deserialize, Serialize};

use crate::{units::Bytes, verdict::trend};

/// Peaks that differ by more than this fraction of their median differ from run to run.
pub const EVEN: f64 = 0.05;

/// The peaks of several runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Runs with a known peak.
    pub runs: usize,
    /// The median of the peaks.
    pub median_bytes: Bytes,
    /// The lowest.
    pub least_bytes: Bytes,
    /// The highest.
    pub most_bytes: Bytes,
    /// The median distance from the median.
    pub deviation_bytes: Bytes,
}

impl Spread {
    /// Of these peaks; `None` for fewer than two.
    pub fn of(peaks: &[Bytes]) -> Option<Self> {
        if peaks.len() < 2 {
            return None;
        }
        let values: Vec<f64> = peaks.iter().map(|Bytes(bytes)| *bytes as f64).collect();
        let median = trend::median(&mut values.clone())?;
        let mut off: Vec<f64> = values.iter().map(|value| (value - median).abs()).collect();
        Some(Self {
            runs: peaks.len(),
            median_bytes: Bytes(median as u64),
            least_bytes: peaks.iter().min().copied()?,
            most_bytes: peaks.iter().max().copied()?,
            deviation_bytes: Bytes(trend::median(&mut off)? as u64),
        })
    }

    /// Whether the peak differs from run to run.
    pub fn is_uneven(&self) -> bool {
        let distance = self.most_bytes.0.saturating_sub(self.least_bytes.0);
        distance as f64 > EVEN * self.median_bytes.0 as f64
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Spread};

    #[test]
    fn the_median_stands_where_one_run_is_odd() {
        let spread = Spread::of(&[100, 102, 101, 300].map(Bytes)).unwrap();
        assert_eq!(
            (spread.median_bytes, spread.least_bytes, spread.most_bytes),
            (Bytes(101), Bytes(100), Bytes(300))
        );
        assert_eq!(spread.deviation_bytes, Bytes(1));
        assert!(spread.is_uneven());
        assert!(!Spread::of(&[100, 102].map(Bytes)).unwrap().is_uneven());
        assert_eq!(Spread::of(&[Bytes(1)]), None);
    }
}
