//! How much more one sample is than another, and how sure that is.
//!
//! Two lists of [`Point`]s -> an [`Estimate`]: the shift of Hodges and Lehmann (the median of all differences between a
//! point of one and a point of the other), with an interval that holds the true shift in 95 of 100 cases. Pure and
//! deterministic; swapped samples give the mirrored estimate to the bit.

use std::cmp::Ordering;

pub use super::bootstrap::Point;
use super::bootstrap::{Random, block_length, resample};
use crate::verdict::trend::median;

/// From so many points on each side their own noise is enough for an interval.
pub const FEWEST: usize = 6;
/// The most points of a side that are used; of more, an even selection. Pairs grow with the square.
const MOST: usize = 96;
/// How often samples are drawn anew; odd, so that the ends of the interval are two of them.
const DRAWN: usize = 999;
/// The drawn shift at the lower end of 95 %, counted from the lowest.
const LOWER: usize = 24;
const SEED: u64 = 0x6d65_6d74_7261_6365;
/// What noise of runs is taken for before it is known: this part of the level is its standard deviation, and that counts
/// as much as so many more runs.
const USUAL_NOISE: f64 = 0.02;
const USUAL_WEIGHT: f64 = 4.0;
/// The two-sided 95 % point of the normal distribution.
const NORMAL: f64 = 1.959_964;

/// Whether points depend on their neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noise {
    /// Each is a run of its own.
    Independent,
    /// They are in the order of time.
    InTime,
}

/// How much more the second sample is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The shift.
    pub shift: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Whether the noise is usual noise rather than that of these points.
    pub is_assumed: bool,
}

/// The estimate; `None` where no two points can be compared. For few points in time it has no width that means anything:
/// the caller asks for [`FEWEST`].
pub fn estimate(a: &[Point], b: &[Point], noise: Noise) -> Option<Estimate> {
    let (mut a, mut b) = (thin(a), thin(b));
    if noise == Noise::Independent {
        a.sort_by(order);
        b.sort_by(order);
    }
    // Always the same one first, so that swapped samples are drawn alike.
    let values = || a.iter().zip(&b).map(|(one, other)| order(one, other)).find(|order| order.is_ne());
    let first = a.len().cmp(&b.len()).then_with(|| values().unwrap_or(Ordering::Equal));
    if first.is_gt() {
        return Some(ordered(&b, &a, noise)?.mirrored());
    }
    ordered(&a, &b, noise)
}

fn ordered(a: &[Point], b: &[Point], noise: Noise) -> Option<Estimate> {
    let mut pairs = Vec::new();
    let shift = hodges_lehmann(a, b, &mut pairs)?;
    if a.len() < FEWEST || b.len() < FEWEST {
        return Some(of_few(a, b, shift));
    }
    let length = |points: &[Point]| if noise == Noise::InTime { block_length(points) } else { 1 };
    let (block_a, block_b) = (length(a), length(b));
    let mut random = Random::new(SEED);
    let (mut drawn_a, mut drawn_b) = (Vec::new(), Vec::new());
    let mut shifts: Vec<f64> = (0..DRAWN)
        .filter_map(|_| {
            resample(a, block_a, &mut random, &mut drawn_a);
            resample(b, block_b, &mut random, &mut drawn_b);
            hodges_lehmann(&drawn_a, &drawn_b, &mut pairs)
        })
        .collect();
    shifts.sort_by(f64::total_cmp);
    // Where bins overlap little, some draws have no pair at all.
    let lower = LOWER * shifts.len() / DRAWN;
    let (low, high) = (shifts.get(lower).copied()?, shifts.iter().rev().nth(lower).copied()?);
    let wider = wider(a.len() / block_a, b.len() / block_b);
    Some(Estimate {
        shift,
        low: shift - (shift - low).max(0.0) * wider,
        high: shift + (high - shift).max(0.0) * wider,
        is_assumed: false,
    })
}

/// Draws of few blocks differ less than samples do: by the Student distribution, and as variances of samples do.
fn wider(blocks_a: usize, blocks_b: usize) -> f64 {
    let freedom = (blocks_a + blocks_b).saturating_sub(2).max(1) as f64;
    let fewest = blocks_a.min(blocks_b).max(2) as f64;
    student(freedom) / NORMAL * (fewest / (fewest - 1.0)).sqrt()
}

/// For few runs: their noise and the usual one together, weighted by how many runs speak for each.
fn of_few(a: &[Point], b: &[Point], shift: f64) -> Estimate {
    let level = f64::midpoint(mean(a), mean(b)).abs();
    let square = |points: &[Point]| {
        let mean = mean(points);
        points.iter().map(|point| (point.value - mean).powi(2)).sum::<f64>()
    };
    let freedom = USUAL_WEIGHT + (a.len() + b.len()).saturating_sub(2) as f64;
    let variance = (USUAL_WEIGHT * (USUAL_NOISE * level).powi(2) + square(a) + square(b)) / freedom;
    let counts = 1.0 / a.len().max(1) as f64 + 1.0 / b.len().max(1) as f64;
    let half = student(freedom) * (variance * counts).sqrt();
    Estimate { shift, low: shift - half, high: shift + half, is_assumed: true }
}

fn mean(points: &[Point]) -> f64 {
    points.iter().map(|point| point.value).sum::<f64>() / points.len().max(1) as f64
}

impl Estimate {
    fn mirrored(self) -> Self {
        // Subtracted, so that no shift is 0 and not -0.
        Self { shift: 0.0 - self.shift, low: 0.0 - self.high, high: 0.0 - self.low, ..self }
    }
}

fn order(one: &Point, other: &Point) -> Ordering {
    one.value.total_cmp(&other.value).then(one.bin.cmp(&other.bin))
}

/// The median of all differences between points of one bin; `pairs` is room that is used again.
fn hodges_lehmann(a: &[Point], b: &[Point], pairs: &mut Vec<f64>) -> Option<f64> {
    pairs.clear();
    for to in b {
        pairs.extend(a.iter().filter(|from| from.bin == to.bin).map(|from| to.value - from.value));
    }
    median(pairs)
}

/// An even selection of at most [`MOST`].
fn thin(points: &[Point]) -> Vec<Point> {
    selection(points.len()).into_iter().filter_map(|index| points.get(index).copied()).collect()
}

/// The places of an even selection: one of each of as many stretches, by chance within it, so that it does not fall in
/// with a rhythm.
pub fn selection(count: usize) -> Vec<usize> {
    if count <= MOST {
        return (0..count).collect();
    }
    let mut random = Random::new(SEED);
    let bound = |stretch: usize| stretch * count / MOST;
    (0..MOST).map(|stretch| bound(stretch) + random.below(bound(stretch + 1) - bound(stretch))).collect()
}

/// The two-sided 95 % point of Student's distribution (Cornish and Fisher's expansion; within 1 % from two degrees on).
fn student(freedom: f64) -> f64 {
    if freedom < 1.5 {
        return 12.706;
    }
    let (z, n) = (NORMAL, freedom);
    let terms = [
        z,
        (z.powi(3) + z) / (4.0 * n),
        (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * n.powi(2)),
        (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / (384.0 * n.powi(3)),
        // What is left at two degrees, where the expansion is too short.
        1.98 / n.powi(4),
    ];
    terms.iter().sum()
}

#[cfg(test)]
#[path = "interval_tests.rs"]
mod tests;
