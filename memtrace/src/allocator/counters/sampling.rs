//! Evenly spread samples, wherever sampling stops, and the error of estimates from them.
//!
//! The number of a sample -> its place; values of a sample -> an estimate of the total, with a bound. Pure except for
//! [`resident`], which reads page tables.

use super::Image;

/// The fractional part of the golden ratio, times 2^64.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;
/// The bound is this many standard errors plus this many times the largest value. Fewer than one in 10,000 sums exceeds
/// it, even if a few large values dominate (Bernstein: `sqrt(2 ln 20,000)`, and `ln 20,000 / 3`).
const ERRORS: f64 = 4.45;
const LARGEST: f64 = 3.3;
/// `-ln(1/10,000)`: when none of n samples has a property, its frequency exceeds LUCK/n in fewer than one of 10,000
/// cases, because `(1 - LUCK/n)^n < 1/10,000`. The sample variance does not cover such rare values.
const LUCK: f64 = 9.22;
/// Bytes per query of the page tables.
const STEP: u64 = 16 << 20;

/// The place of the sample with this number, below `all`.
pub fn place(number: u64, all: u64) -> u64 {
    let place = (u128::from(all) * u128::from(number.wrapping_mul(STRIDE))) >> 64;
    u64::try_from(place).unwrap_or(all)
}

/// Every number below `all` once, in an order whose every prefix is evenly spread.
pub fn order(all: u64) -> impl Iterator<Item = u64> {
    let golden = u64::try_from((u128::from(all) * u128::from(STRIDE)) >> 64).unwrap_or(1).max(1);
    let step = (golden..all).find(|step| common(*step, all) == 1).unwrap_or(1);
    (0..all).scan(0, move |at, _| {
        let now = *at;
        *at = u64::try_from((u128::from(now) + u128::from(step)) % u128::from(all)).unwrap_or(0);
        Some(now)
    })
}

const fn common(mut one: u64, mut other: u64) -> u64 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}

/// The number of standard errors for a small sample, larger than `ERRORS` because its variance is uncertain too. It
/// exceeds the 1/10,000 quantile of Student's distribution (7.9 for 7 degrees of freedom, 4.9 for 20).
pub fn errors(samples: u64) -> f64 {
    match samples.saturating_sub(1) {
        0 => f64::INFINITY,
        free => {
            let free = free as f64;
            ERRORS * (1.0 + 6.0 / free + 20.0 / (free * free))
        }
    }
}

/// The largest fraction of unseen things that this many samples do not exclude, see `LUCK`.
pub fn luck(samples: u64) -> f64 {
    (LUCK / samples.max(1) as f64).min(1.0)
}

/// A sample of non-negative values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Number of samples.
    pub seen: u64,
    /// The sum of their values.
    pub sum: u64,
    squares: f64,
}

impl Sample {
    /// Adds a value.
    pub fn add(&mut self, value: u64) {
        self.seen += 1;
        self.sum = self.sum.saturating_add(value);
        self.squares += (value as f64).powi(2);
    }

    /// The same sample with so many values, the others of which are 0.
    #[must_use]
    pub const fn among(self, seen: u64) -> Self {
        Self { seen, ..self }
    }

    /// The estimated sum over all things and its error, given that no value exceeds `most`. Exact when all were seen;
    /// `None` without samples. The bound fails in fewer than one of 10,000 cases, and never exceeds what the unseen
    /// values can add.
    pub fn of_all(&self, all: u64, most: u64) -> Option<(u64, u64)> {
        if self.seen >= all {
            return Some((self.sum, 0));
        }
        if self.seen == 0 {
            return None;
        }
        let (seen, sum) = (self.seen as f64, self.sum as f64);
        let unseen = (all - self.seen) as f64;
        let mean = sum / seen;
        let largest = unseen * mean.max(most as f64 - mean);
        let variance = (self.squares / seen - mean * mean).max(0.0);
        let error = (variance * unseen * all as f64 / seen).sqrt();
        let likely = errors(self.seen) * error + (luck(self.seen) * unseen + LARGEST) * most as f64;
        // NaN: too few samples for a variance.
        let off = if likely.is_nan() { largest } else { likely.min(largest) };
        Some(((sum + mean * unseen) as u64, off.ceil() as u64))
    }
}

/// Sampled pieces: the size of each, and the part of it that is of some kind.
#[derive(Clone, Debug, Default)]
pub struct Parts(Vec<(u64, u64)>);

impl Parts {
    /// Adds a piece of size `piece`, of which `part` is of the kind.
    pub fn add(&mut self, part: u64, piece: u64) {
        self.0.push((part.min(piece), piece));
    }

    /// The estimated part of `all` that is of the kind, and its doubt; `None` without pieces.
    pub fn of_all(&self, all: u64) -> Option<(u64, Doubt)> {
        let sum = |of: fn(&(u64, u64)) -> u64| self.0.iter().map(of).fold(0, u64::saturating_add) as f64;
        let (part, seen) = (sum(|piece| piece.0), sum(|piece| piece.1));
        if seen == 0.0 {
            return (all == 0).then(|| (0, Doubt::default()));
        }
        let (share, whole) = (part / seen, all as f64);
        let squares: f64 =
            self.0.iter().map(|(part, piece)| (*part as f64 - share * *piece as f64).powi(2)).sum();
        let unseen = (whole - seen).max(0.0);
        let doubt = Doubt {
            count: self.0.len() as u64,
            variance: squares * (whole / seen).powi(2),
            rare: LUCK * unseen / self.0.len() as f64,
            piece: self.0.iter().map(|piece| piece.1).max().unwrap_or_default() as f64,
            unseen,
            largest: unseen * share.max(1.0 - share),
        };
        Some(((share * whole) as u64, doubt))
    }
}

/// The error of an estimate from pieces. Doubts of independent estimates can be combined.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Doubt {
    count: u64,
    variance: f64,
    /// The error from values too rare to be in a piece, see `LUCK`.
    rare: f64,
    piece: f64,
    unseen: f64,
    /// The largest error that the unseen part can cause.
    largest: f64,
}

impl Doubt {
    /// The doubt of the sum of two independent estimates. Variances add up; of the errors from rare values the larger
    /// is kept.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            variance: self.variance + other.variance,
            rare: self.rare.max(other.rare),
            piece: self.piece.max(other.piece),
            unseen: self.unseen + other.unseen,
            largest: self.largest + other.largest,
        }
    }

    /// The bound of the error, like that of [`Sample::of_all`], for pieces of different sizes.
    pub fn off(&self) -> u64 {
        let likely =
            errors(self.count) * self.variance.sqrt() + self.rare.min(self.unseen) + LARGEST * self.piece;
        // NaN: too few pieces for a variance.
        let off = if likely.is_nan() { self.largest } else { likely.min(self.largest) };
        off.ceil() as u64
    }
}

/// The resident bytes of these ranges, and whether all of them were checked. When time runs out, the rest is estimated
/// from the checked part. `None` when nothing could be checked.
pub fn resident(image: &mut dyn Image, ranges: &[(u64, u64)]) -> Option<(u64, bool)> {
    let steps: Vec<(u64, u64)> = ranges
        .iter()
        .flat_map(|(start, end)| {
            let count = end.saturating_sub(*start).div_ceil(STEP);
            (0..count).map(move |at| (start + at * STEP, (start + (at + 1) * STEP).min(*end)))
        })
        .collect();
    let all: u64 = steps.iter().map(|(start, end)| end - start).sum();
    let (mut asked, mut found) = (0_u64, 0_u64);
    for at in order(steps.len() as u64) {
        let Some((start, end)) = usize::try_from(at).ok().and_then(|at| steps.get(at)) else { continue };
        if image.is_spent() {
            break;
        }
        let resident = image.resident(*start, *end);
        if image.is_spent() {
            break;
        }
        asked += end - start;
        found += resident;
    }
    if asked == all {
        return Some((found, true));
    }
    let scaled = u128::from(found) * u128::from(all) / u128::from(asked.max(1));
    (asked > 0).then(|| (u64::try_from(scaled).unwrap_or(u64::MAX), false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocator::image::fake::Fake;

    #[test]
    fn wherever_it_stops_each_tenth_has_its_part() {
        const ALL: u64 = 1 << 40;
        for count in [20, 50, 1000] {
            let mut tenths = [0_u64; 10];
            (0..count).for_each(|number| tenths[(place(number, ALL) / ALL.div_ceil(10)) as usize] += 1);
            assert!(tenths.iter().all(|tenth| tenth.abs_diff(count / 10) <= 2), "{count}: {tenths:?}");
        }
        assert_eq!((place(0, 7), place(5, 0), place(u64::MAX, 1)), (0, 0, 0));
    }

    #[test]
    fn an_order_has_each_once_and_is_even_wherever_it_stops() {
        for all in [0, 1, 2, 3, 10, 64, 1000, 65_536, 65_537, 90_000] {
            let order: Vec<u64> = order(all).collect();
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..all), "{all}");
            for count in [100, 1000, 5000].into_iter().filter(|count| *count * 2 <= order.len()) {
                let mut tenths = [0_usize; 10];
                order[..count].iter().for_each(|at| tenths[(at * 10 / all) as usize] += 1);
                let is_even = tenths.iter().all(|tenth| tenth.abs_diff(count / 10) <= 2 + count / 50);
                assert!(is_even, "{count} of {all}: {tenths:?}");
            }
        }
    }

    #[test]
    fn what_was_not_seen_may_be_anything_until_enough_was() {
        let mut sample = Sample::default();
        assert_eq!((sample.of_all(10, 100), sample.of_all(0, 100)), (None, Some((0, 0))));
        sample.add(40);
        // Nine unseen values, each between 0 and 100.
        assert_eq!(sample.of_all(10, 100), Some((400, 540)));
        assert_eq!(sample.of_all(1, 100), Some((40, 0)));
        (0..999).for_each(|_| sample.add(40));
        let (sum, off) = sample.of_all(10_000, 100).unwrap();
        // All samples are equal, but one in a hundred unseen values may still differ.
        assert!(sum == 400_000 && (1000..10_000).contains(&off), "{off}");
    }

    #[test]
    fn few_samples_have_more_doubt_than_students_distribution() {
        for (free, least) in [(5, 11.17), (7, 7.89), (10, 6.21), (20, 4.93), (60, 4.25), (10_000, 3.89)] {
            assert!(errors(free + 1) >= least, "{free}: {}", errors(free + 1));
        }
    }

    #[test]
    fn of_several_that_are_alike_the_doubt_is_as_if_they_were_one() {
        let pieces = |count: u64| {
            let mut parts = Parts::default();
            (0..count).for_each(|at| parts.add(at % 2 * 100, 100));
            parts
        };
        let one = pieces(800).of_all(1 << 20).unwrap().1;
        let eighth = pieces(100).of_all(1 << 17).unwrap().1;
        let eight = (0..7).fold(eighth, |sum, _| sum.and(eighth));
        assert!(one.off().abs_diff(eight.off()) <= one.off() / 10, "{} and {}", one.off(), eight.off());
        assert!(eighth.off() * 2 < eight.off() && eight.off() < eighth.off() * 5);
    }

    #[test]
    fn what_is_resident_is_told_by_the_part_that_was_asked_for() {
        let mut fake = Fake::default().with(0, vec![0; 1 << 20]).with(64 << 20, vec![0; 1 << 20]);
        assert_eq!(resident(&mut fake, &[(0, 128 << 20)]), Some((2 << 20, true)));
        fake.each = fake.left / 3;
        let part = resident(&mut fake, &[(0, 128 << 20)]);
        assert!(part.is_some_and(|(_, is_whole)| !is_whole), "{part:?}");
        fake.left = 0;
        assert_eq!(resident(&mut fake, &[(0, 128 << 20)]), None);
    }

    /// Values that are equal except for rare ones, evenly mixed, or mostly 0. Deterministic.
    #[test]
    fn bounds_hold_of_any_values() {
        let mut state = 1_u64;
        let mut next = |most: u64| {
            state = state.wrapping_add(STRIDE);
            let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ mixed >> 31) % (most + 1)
        };
        let (mut outside, mut judged) = (0, 0);
        for _ in 0..20_000 {
            let (all, rare, most) = (2 + next(1000), 1 + next(400), 1 + next(1 << 20));
            let base = if next(1) == 0 { 0 } else { most / 3 };
            let values: Vec<u64> =
                (0..all).map(|_| if next(rare) == 0 { next(most) } else { base }).collect();
            let mut sample = Sample::default();
            let count = 1 + next(all - 1);
            order(all).take(count as usize).for_each(|at| sample.add(values[at as usize]));
            let (sum, off) = sample.of_all(all, most).unwrap();
            judged += 1;
            outside += u32::from(sum.abs_diff(values.iter().sum()) > off + 1);
        }
        assert!(outside * 10_000 <= judged, "{outside} of {judged}");
    }
}
