//! Which values of two sides are compared: those of the same load.
//!
//! Two sides and a figure -> [`Point`]s with bins. Pure. Load is the CPUs that were busy, where that is known; else the hour
//! of the day stands for it, as most services have a rhythm; runs of a command do the same work.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    interval::{FEWEST, Point},
    refusal::Refusal,
    side::{Figure, Origin, Sample, Side},
};

/// A bin of load reaches from one value to so many times it.
const BIN: f64 = 1.5;
/// Less load than this is none.
const IDLE: f64 = 0.01;
/// More CPUs than there are.
const MOST_LOAD: f64 = 1e6;
const HOUR: i64 = 3_600;

/// What values were compared with which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Matched {
    /// Runs do the same work; or there is one value only.
    All,
    /// Those of the same load.
    Load,
    /// Those of the same hour of the day.
    Hour,
    /// All, although they are of different times of day.
    OtherHours,
}

/// The points of both sides.
///
/// # Errors
/// When their loads are known and too different.
pub(super) fn matched(a: &Side, b: &Side, figure: Figure) -> Result<([Vec<Point>; 2], Matched), Refusal> {
    let samples = [a.samples(figure), b.samples(figure)];
    let all = || samples.map(|samples| points(samples, |_| Some(0)));
    if let [Some(one), Some(other)] = samples.map(loads) {
        let binned = samples.map(|samples| points(samples, |sample| sample.load.map(bin)));
        return match in_common(binned) {
            Some(points) => Ok((points, Matched::Load)),
            None => Err(Refusal::OtherLoad { a: one, b: other }),
        };
    }
    if [a, b].iter().any(|side| side.origin != Origin::History) {
        return Ok((all(), Matched::All));
    }
    let hour = |sample: &Sample| u32::try_from(sample.at.rem_euclid(24 * HOUR) / HOUR).ok();
    let binned = samples.map(|samples| points(samples, hour));
    Ok(in_common(binned).map_or_else(|| (all(), Matched::OtherHours), |points| (points, Matched::Hour)))
}

fn points(samples: &[Sample], bin: impl Fn(&Sample) -> Option<u32>) -> Vec<Point> {
    let point = |sample: &Sample| Some(Point { value: sample.bytes.0 as f64, bin: bin(sample)? });
    samples.iter().filter_map(point).collect()
}

/// The points of bins that both have; `None` when too few are left of what would have been enough.
fn in_common(binned: [Vec<Point>; 2]) -> Option<[Vec<Point>; 2]> {
    let bins = |points: &[Point]| points.iter().map(|point| point.bin).collect::<BTreeSet<u32>>();
    let [a, b] = binned;
    let common: BTreeSet<u32> = bins(&a).intersection(&bins(&b)).copied().collect();
    let needed = [a.len().min(FEWEST), b.len().min(FEWEST)];
    let kept = [a, b].map(|mut points| {
        points.retain(|point| common.contains(&point.bin));
        points
    });
    kept.iter().zip(needed).all(|(points, needed)| points.len() >= needed.max(1)).then_some(kept)
}

/// The lowest and the highest load; `None` unless each is known.
fn loads(samples: &[Sample]) -> Option<[f64; 2]> {
    let all: Vec<f64> =
        samples.iter().map(|sample| sample.load.filter(|load| load.is_finite())).collect::<Option<_>>()?;
    let lowest = all.iter().copied().min_by(f64::total_cmp)?;
    let highest = all.iter().copied().max_by(f64::total_cmp)?;
    Some([lowest, highest])
}

fn bin(load: f64) -> u32 {
    if load <= IDLE { 0 } else { 1 + ((load.min(MOST_LOAD) / IDLE).ln() / BIN.ln()) as u32 }
}

#[cfg(test)]
mod tests {
    use super::bin;

    #[test]
    fn bins_are_as_wide_as_their_load() {
        assert_eq!((bin(0.0), bin(-1.0), bin(0.01), bin(f64::MAX)), (0, 0, 0, bin(1e6)));
        assert_eq!(bin(1.0), bin(1.05));
        assert!(bin(1.0) < bin(1.6) && bin(0.5) < bin(1.0));
    }
}
