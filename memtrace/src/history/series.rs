//! Values over time in fixed memory: every second for two minutes, then every ten, then every minute for a day.
//!
//! Input: readings. Output: points, oldest first. Pure. A coarser point is a copy of the finer one with the highest
//! first value, so a peak is never lost, and all its values are of the same instant. It also keeps the lowest firm memory
//! of its interval: after a collection or a batch, this floor shows whether memory grows.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::units::Bytes;

/// A level: a number of points with equal spacing.
struct Level {
    /// Seconds from one point to the next.
    spacing: u64,
    points: usize,
}

const LEVELS: [Level; 3] = [
    Level { spacing: 1, points: 120 },
    Level { spacing: 10, points: 180 },
    Level { spacing: 60, points: 1440 },
];

/// Values are stored in units of this size, rounded down, because the kernel charges whole pages. The largest value is
/// 16 TiB.
const UNIT: u64 = 4096;
/// An unknown value.
const UNKNOWN: u32 = u32::MAX;

const SECOND: u64 = 1_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bucket<const N: usize> {
    /// Number of the interval since boot.
    number: u32,
    values: [u32; N],
    low: u32,
}

/// A point of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point<const N: usize> {
    /// Second since boot in which its interval begins.
    pub second: u64,
    /// Seconds of its interval.
    pub length: u64,
    /// The values at the interval's highest first value.
    pub values: [Option<Bytes>; N],
    /// The lowest firm memory in the interval.
    pub low: Option<Bytes>,
}

/// The stored form of a series: for each level the numbers of its intervals, and for each of them `N` values and the
/// lowest firm memory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    levels: [(Vec<u32>, Vec<u32>); LEVELS.len()],
    forgets: [bool; LEVELS.len()],
}

/// `N` values and firm memory belong to one reading.
#[derive(Clone, Debug)]
pub struct Series<const N: usize> {
    levels: [VecDeque<Bucket<N>>; LEVELS.len()],
    /// Whether the level is full and drops points, so that older points are only in the next level.
    forgets: [bool; LEVELS.len()],
}

impl<const N: usize> Default for Series<N> {
    fn default() -> Self {
        Self { levels: Default::default(), forgets: Default::default() }
    }
}

impl<const N: usize> Series<N> {
    /// Takes a reading at `at`, ns since boot, with firm memory then. Readings older than the newest point's interval are
    /// ignored.
    pub fn push(&mut self, at: u64, values: [Option<Bytes>; N], firm: Option<Bytes>) {
        let (values, firm) = (values.map(units), units(firm));
        for ((level, kept), forgets) in LEVELS.iter().zip(&mut self.levels).zip(&mut self.forgets) {
            let number = u32::try_from(at / SECOND / level.spacing).unwrap_or(u32::MAX);
            match kept.back_mut() {
                Some(last) if last.number > number => {}
                Some(last) if last.number == number => {
                    if rank(&values) > rank(&last.values) {
                        last.values = values;
                    }
                    // What is not known is the highest number.
                    last.low = last.low.min(firm);
                }
                _ => {
                    // Grow by little: doubling would use twice the memory that a day needs.
                    if kept.len() == kept.capacity() {
                        kept.reserve_exact((kept.len() / 2).clamp(8, 128));
                    }
                    kept.push_back(Bucket { number, values, low: firm });
                    let oldest = (number + 1).saturating_sub(level.points as u32);
                    while kept.front().is_some_and(|first| first.number < oldest) {
                        kept.pop_front();
                        *forgets = true;
                    }
                }
            }
        }
    }

    /// All points, oldest first, each time at the finest level that still has it.
    pub fn points(&self) -> Vec<Point<N>> {
        let begins = |level: &Level, bucket: &Bucket<N>| u64::from(bucket.number) * level.spacing;
        // The time from which each level is used: aligned to an interval of the next coarser level, so that every time
        // is in exactly one level.
        let mut from = [0; LEVELS.len()];
        let mut coarser: Option<(u64, u64)> = None;
        for (index, (level, kept)) in LEVELS.iter().zip(&self.levels).enumerate().rev() {
            let oldest = kept.front().map_or(0, |first| begins(level, first));
            let border = coarser.filter(|_| self.forgets.get(index) == Some(&true));
            let begin = border.map_or(oldest, |(spacing, begin)| oldest.next_multiple_of(spacing).max(begin));
            if let Some(slot) = from.get_mut(index) {
                *slot = begin;
            }
            coarser = Some((level.spacing, begin));
        }
        let mut points: Vec<Point<N>> = Vec::new();
        let mut until = u64::MAX;
        for (((level, kept), from), forgets) in LEVELS.iter().zip(&self.levels).zip(from).zip(self.forgets) {
            let begins = |bucket: &Bucket<N>| begins(level, bucket);
            let here = kept.iter().rev().filter(|bucket| (from..until).contains(&begins(bucket)));
            points.extend(here.map(|bucket| bucket.point(level)));
            // If a level has not dropped points, no coarser level is needed.
            until = if forgets { from.min(until) } else { 0 };
        }
        points.reverse();
        points
    }

    /// The last `seconds` up to `now` (ns since boot), one value per second, oldest first; `None` for seconds without a
    /// value.
    pub fn last(&self, seconds: usize, now: u64, figure: usize) -> Vec<Option<Bytes>> {
        let mut out = vec![None; seconds];
        let Some(kept) = self.levels.first() else { return out };
        let newest = now / SECOND;
        for bucket in kept.iter().rev() {
            let age = newest.saturating_sub(u64::from(bucket.number));
            let Some(place) = usize::try_from(age).ok().and_then(|age| seconds.checked_sub(age + 1)) else {
                break;
            };
            if let (Some(slot), Some(found)) = (out.get_mut(place), bucket.values.get(figure)) {
                *slot = value(*found);
            }
        }
        out
    }

    /// At most `points` of the newest one-second points, oldest first.
    pub fn recent(&self, points: usize) -> Vec<Point<N>> {
        let (Some(level), Some(kept)) = (LEVELS.first(), self.levels.first()) else { return Vec::new() };
        kept.range(kept.len().saturating_sub(points)..).map(|bucket| bucket.point(level)).collect()
    }

    /// The newest reading's interval and values.
    pub fn newest(&self) -> Option<Point<N>> {
        Some(self.levels.first()?.back()?.point(LEVELS.first()?))
    }

    /// The stored form.
    pub(super) fn kept(&self) -> Kept {
        let levels = self.levels.each_ref().map(|level| {
            let numbers = level.iter().map(|bucket| bucket.number).collect();
            (numbers, level.iter().flat_map(|bucket| bucket.values.into_iter().chain([bucket.low])).collect())
        });
        Kept { levels, forgets: self.forgets }
    }

    /// Restores a stored series, of an older form without lowest firm memory if not `has_low`; `None` when it is invalid
    /// at `now`, ns since boot.
    pub(super) fn restored(kept: &Kept, has_low: bool, now: u64) -> Option<Self> {
        let width = N + usize::from(has_low);
        let mut series = Self { levels: Default::default(), forgets: kept.forgets };
        for ((level, (numbers, values)), into) in LEVELS.iter().zip(&kept.levels).zip(&mut series.levels) {
            let is_one = numbers.len() <= level.points
                && numbers.len().checked_mul(width) == Some(values.len())
                && numbers.is_sorted_by(|one, next| one < next)
                && numbers.last().is_none_or(|last| u64::from(*last) * level.spacing <= now / SECOND);
            if !is_one {
                return None;
            }
            let buckets = numbers.iter().zip(values.chunks_exact(width.max(1)));
            let bucket = |(number, row): (&u32, &[u32])| {
                let (values, low) = row.split_first_chunk()?;
                let low = low.first().copied().unwrap_or(UNKNOWN);
                Some(Bucket { number: *number, values: *values, low })
            };
            *into = buckets.filter_map(bucket).collect();
        }
        Some(series)
    }

    /// Memory that it uses, in bytes.
    pub fn footprint(&self) -> Bytes {
        let buckets: usize = self.levels.iter().map(VecDeque::capacity).sum();
        Bytes((buckets * size_of::<Bucket<N>>() + size_of::<Self>()) as u64)
    }
}

impl<const N: usize> Bucket<N> {
    fn point(&self, level: &Level) -> Point<N> {
        Point {
            second: u64::from(self.number) * level.spacing,
            length: level.spacing,
            values: self.values.map(value),
            low: value(self.low),
        }
    }
}

/// The rank of a reading: its first value; unknown is lowest.
fn rank<const N: usize>(values: &[u32; N]) -> Option<u32> {
    values.first().copied().filter(|value| *value != UNKNOWN)
}

fn units(value: Option<Bytes>) -> u32 {
    value.map_or(UNKNOWN, |Bytes(bytes)| u32::try_from(bytes / UNIT).unwrap_or(UNKNOWN - 1).min(UNKNOWN - 1))
}

fn value(units: u32) -> Option<Bytes> {
    (units != UNKNOWN).then(|| Bytes(u64::from(units) * UNIT))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Bytes, LEVELS, SECOND, Series, UNIT};

    fn of(readings: &[(u64, u64)]) -> Series<1> {
        let mut series = Series::default();
        for (second, pages) in readings {
            series.push(second * SECOND, [Some(Bytes(pages * UNIT))], Some(Bytes(pages * UNIT)));
        }
        series
    }

    #[test]
    fn a_day_takes_fixed_memory_and_keeps_its_peak() {
        let mut series = Series::<6>::default();
        let peak = 3600;
        for second in 0..200_000 {
            let bytes = if second == 200_000 - peak { 999 * UNIT } else { 7 * UNIT };
            let values = [Some(Bytes(bytes)), None, Some(Bytes(bytes / 2)), None, None, None];
            series.push(second * SECOND, values, Some(Bytes(bytes)));
        }
        assert!(series.footprint().0 < 64 << 10, "{}", series.footprint());
        let points = series.points();
        let span = 200_000 - points[0].second;
        assert!((86_000..=86_460).contains(&span), "{span}");
        let high: Vec<_> = points.iter().filter(|point| point.values[0] == Some(Bytes(999 * UNIT))).collect();
        assert_eq!(high.len(), 1);
        assert_eq!((high[0].length, high[0].low), (60, Some(Bytes(7 * UNIT))), "and how low it was then");
        assert_eq!(high[0].values[2], Some(Bytes(999 * UNIT / 2 / UNIT * UNIT)), "what went with the peak");
    }

    #[test]
    fn the_last_seconds_are_evenly_spaced() {
        let series = of(&[(5, 1), (6, 2), (8, 3)]);
        let pages = |value: Option<Bytes>| value.map(|bytes| bytes.0 / UNIT);
        let last: Vec<_> = series.last(5, 9 * SECOND, 0).into_iter().map(pages).collect();
        assert_eq!(last, [Some(1), Some(2), None, Some(3), None]);
        assert_eq!(series.last(1, 9 * SECOND, 0), [None]);
    }

    #[test]
    fn what_is_not_known_stays_so() {
        let mut series = Series::<1>::default();
        series.push(SECOND, [None], None);
        assert_eq!((series.points()[0].values, series.points()[0].low), ([None], None));
        series.push(SECOND, [Some(Bytes(0))], Some(Bytes(0)));
        assert_eq!(series.points()[0].values, [Some(Bytes(0))], "0 is a value");
        assert_eq!(series.points()[0].low, Some(Bytes(0)), "and lower than what is not known");
        series.push(2 * SECOND, [Some(Bytes(u64::MAX))], None);
        assert!(series.newest().unwrap().values[0].unwrap().0 > 1 << 43);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Points are sorted, do not overlap, and contain the highest and the lowest reading that is recent enough.
        #[test]
        fn peaks_and_floors_survive(mut readings in prop::collection::vec((0_u64..90_000, 1_u64..1000), 1..400)) {
            readings.sort_unstable();
            let series = of(&readings);
            let points = series.points();
            for pair in points.windows(2) {
                prop_assert!(pair[0].second + pair[0].length <= pair[1].second, "{:?}", pair);
            }
            let newest = readings.last().unwrap().0;
            let oldest = points[0].second;
            prop_assert!(newest - oldest <= LEVELS[2].spacing * LEVELS[2].points as u64);
            for (second, pages) in readings.iter().filter(|(second, _)| *second >= oldest) {
                let here = points.iter().find(|point| (point.second..point.second + point.length).contains(second));
                prop_assert!(here.unwrap().values[0].unwrap().0 >= pages * UNIT, "{} s", second);
                prop_assert!(here.unwrap().low.unwrap().0 <= pages * UNIT, "{} s", second);
            }
            prop_assert_eq!(series.newest().unwrap().second, newest);
        }
    }
}
