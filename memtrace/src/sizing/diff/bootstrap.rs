//! Resampling: other samples as they might have come, by blocks of neighbours, because neighbours are alike.
//!
//! Points in order and a seed -> resampled points; always the same for the same input. Pure. Blocks are drawn from a
//! circle (Politis and Romano), so that each point is drawn as often as any other.

/// The largest correlation of neighbours that is told from a trend.
const MOST_ALIKE: f64 = 0.97;

/// A value, and the bin of load that it is compared within.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Bytes.
    pub value: f64,
    /// Values of different bins are not compared.
    pub bin: u32,
}

/// SplitMix64: small, the same everywhere, and good enough to draw blocks.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `count`; 0 for none.
    pub(super) fn below(&mut self, count: usize) -> usize {
        // The high half of a product: even to one part in 2^64 / count.
        usize::try_from((u128::from(self.next()) * count as u128) >> 64).unwrap_or_default()
    }
}

/// Fills `into` with as many points as there are, in blocks of this length.
pub(super) fn resample(points: &[Point], block: usize, random: &mut Random, into: &mut Vec<Point>) {
    into.clear();
    while into.len() < points.len() {
        let start = random.below(points.len());
        let room = points.len() - into.len();
        into.extend(points.iter().cycle().skip(start).take(block.max(1).min(room)));
    }
}

/// The length of a block: longer, the more alike neighbours are (Carlstein's rule for a first-order process), and a
/// third of the points at most.
pub(super) fn block_length(points: &[Point]) -> usize {
    let count = points.len() as f64;
    let alike = alike(points).clamp(0.0, MOST_ALIKE);
    let rule = (2.0 * alike / (1.0 - alike * alike)).powf(2.0 / 3.0) * count.cbrt();
    let length = rule.max(count.cbrt()).ceil() as usize;
    length.clamp(1, (points.len() / 3).max(1))
}

/// The correlation of neighbours; 0 where all are equal.
fn alike(points: &[Point]) -> f64 {
    let mean = points.iter().map(|point| point.value).sum::<f64>() / points.len().max(1) as f64;
    let square: f64 = points.iter().map(|point| (point.value - mean).powi(2)).sum();
    let product: f64 = points
        .windows(2)
        .map(|pair| match pair {
            [one, next] => (one.value - mean) * (next.value - mean),
            _ => 0.0,
        })
        .sum();
    if square > 0.0 { product / square } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::{Point, Random, block_length, resample};

    fn points(values: impl IntoIterator<Item = f64>) -> Vec<Point> {
        values.into_iter().map(|value| Point { value, bin: 0 }).collect()
    }

    #[test]
    fn blocks_keep_neighbours_together_and_go_round() {
        let all = points((0..12).map(f64::from));
        let mut random = Random::new(1);
        let mut drawn = Vec::new();
        for _ in 0..50 {
            resample(&all, 4, &mut random, &mut drawn);
            assert_eq!(drawn.len(), 12);
            for block in drawn.chunks(4) {
                let steps =
                    block.windows(2).all(|pair| (pair[1].value - pair[0].value).rem_euclid(12.0) == 1.0);
                assert!(steps, "{block:?}");
            }
        }
    }

    #[test]
    fn neighbours_that_are_alike_make_long_blocks() {
        let alternating = points((0..60).map(|at| f64::from(at % 2)));
        let slow = points((0..60).map(|at| f64::from(at / 10)));
        assert_eq!(block_length(&alternating), 4);
        assert!(block_length(&slow) > 10);
        assert_eq!((block_length(&points([7.0; 9])), block_length(&[])), (3, 1));
    }
}
