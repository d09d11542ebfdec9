//! Growth without end: from day to day, at the same hour.
//!
//! [`Day`]s -> the growth a day, if the last days grew. Pure. The lowest memory of each hour is compared with that of the
//! same hour of other days (a seasonal Kendall test), so that neither the rhythm of a day nor collections look like
//! growth. At least eight days are compared where there are so many, so that a week's rhythm does not either.

use serde::Serialize;

use super::days::Day;
use crate::{
    units::{Bytes, Grade},
    verdict::trend,
};

/// The fewest days that tell growth.
const FEWEST: usize = 3;
/// A week and a day.
const A_WEEK: usize = 8;
/// The share of pairs that rise, less that of pairs that fall, from which there is a trend.
const TAU: f64 = 0.6;
/// A change that is no change, as a share.
const STILL: f64 = 0.005;
/// A fall from one day to the next, as a share, that is a restart.
const RESTART: f64 = 0.5;
/// Median absolute deviations in a margin: three standard deviations of normal noise.
pub(super) const DEVIATIONS: f64 = 4.4;
/// The least margin, as a share of the peak.
pub(super) const LEAST: f64 = 0.02;
/// Days ahead for which a limit is to hold.
pub const AHEAD: f64 = 7.0;

/// Growth that shows no end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Growth {
    /// Bytes a day.
    pub bytes_per_day: Bytes,
    /// Kendall's tau over the days, hour by hour.
    pub tau: f64,
    /// The days that were compared.
    pub days: usize,
    /// How it was determined.
    pub grade: Grade,
}

/// Growth in the last of these days that would use up the margin in the next [`AHEAD`] days; `None` when there is none, or
/// too little is known.
pub fn growth(days: &[Day]) -> Option<Growth> {
    let days = since_restart(days);
    // A day of which little was seen has no lows to compare.
    let days: Vec<&Day> = days.iter().filter(|day| day.is_half()).collect();
    if days.len() < FEWEST {
        return None;
    }
    let window = days.len().min(A_WEEK.max(days.len() / 3));
    let last = days.get(days.len() - window..)?;
    let (mut slopes, mut order, mut pairs) = (Vec::new(), 0_i64, 0_i64);
    for (index, earlier) in last.iter().enumerate() {
        for later in last.get(index + 1..).unwrap_or_default() {
            let apart = f64::from(later.number.saturating_sub(earlier.number).max(1));
            for (one, other) in earlier.hours.iter().zip(&later.hours) {
                let (Some(Bytes(one)), Some(Bytes(other))) = (one, other) else { continue };
                let change = *other as f64 - *one as f64;
                let is_still = change.abs() <= *one as f64 * STILL;
                order += i64::from(!is_still) * change.signum() as i64;
                pairs += 1;
                slopes.push(change / apart);
            }
        }
    }
    let slope = trend::median(&mut slopes)?;
    let tau = order as f64 / pairs.max(1) as f64;
    let grows = tau >= TAU && slope * AHEAD > margin(last);
    grows.then(|| Growth {
        bytes_per_day: Bytes(slope as u64),
        tau: (tau * 100.0).round() / 100.0,
        days: window,
        grade: Grade::Inferred,
    })
}

/// The margin of the days' peaks without their growth, which would widen it.
fn margin(days: &[&Day]) -> f64 {
    let peaks = days.iter().filter_map(|day| Some((f64::from(day.number), day.peak?.0 as f64)));
    let peaks: Vec<(f64, f64)> = peaks.collect();
    let later = |index: usize| peaks.get(index + 1..).unwrap_or_default();
    let pairs =
        peaks.iter().enumerate().flat_map(|(index, one)| later(index).iter().map(move |two| (one, two)));
    let mut slopes: Vec<f64> = pairs.map(|(one, two)| (two.1 - one.1) / (two.0 - one.0).max(1.0)).collect();
    let slope = trend::median(&mut slopes).unwrap_or_default();
    let mut rest: Vec<f64> = peaks.iter().map(|(number, peak)| peak - number * slope).collect();
    let median = trend::median(&mut rest).unwrap_or_default();
    let highest = peaks.iter().map(|(_, peak)| *peak).fold(0.0, f64::max);
    (DEVIATIONS * deviation(&rest, median)).max(LEAST * highest)
}

/// The median absolute deviation.
pub(super) fn deviation(values: &[f64], median: f64) -> f64 {
    let mut apart: Vec<f64> = values.iter().map(|value| (value - median).abs()).collect();
    trend::median(&mut apart).unwrap_or_default()
}

/// The days after the last large fall of the lowest memory.
fn since_restart(days: &[Day]) -> &[Day] {
    let low = |day: &Day| day.hours.iter().flatten().min().copied();
    let fell = days.windows(2).rposition(|pair| match pair {
        [before, after] => low(before)
            .zip(low(after))
            .is_some_and(|(before, after)| (after.0 as f64) < before.0 as f64 * (1.0 - RESTART)),
        _ => false,
    });
    fell.and_then(|index| days.get(index + 1..)).unwrap_or(days)
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Day, growth};
    use crate::sizing::days::ROWS;

    const MIB: f64 = (1 << 20) as f64;

    /// Days with the lows of each hour, in MiB.
    fn days(count: u32, low: impl Fn(u32, u32) -> f64) -> Vec<Day> {
        let day = |number| {
            let hour = |hour| Some(Bytes((low(number, hour) * MIB) as u64));
            let hours: [_; 24] = std::array::from_fn(|at| hour(at as u32));
            Day { number, rows: ROWS, peak: hours.iter().flatten().max().copied(), hours, ..Day::default() }
        };
        (0..count).map(day).collect()
    }

    fn per_day(days: &[Day]) -> Option<f64> {
        growth(days).map(|growth| growth.bytes_per_day.0 as f64 / MIB)
    }

    #[test]
    fn steady_growth_has_a_rate_whatever_the_hour_does() {
        let rhythm = |hour: u32| f64::from(hour % 12) * 20.0;
        let found = per_day(&days(10, |day, hour| 500.0 + 12.0 * f64::from(day) + rhythm(hour))).unwrap();
        assert!((found - 12.0).abs() < 0.1, "{found}");
        assert_eq!(per_day(&days(10, |_, hour| 500.0 + rhythm(hour))), None);
        assert_eq!(per_day(&days(2, |day, _| 500.0 + 100.0 * f64::from(day))), None, "two days tell nothing");
    }

    #[test]
    fn a_week_has_its_rhythm() {
        for begin in 0..7 {
            let week = |day: u32, _| if (day + begin) % 7 < 2 { 300.0 } else { 500.0 };
            for count in 8..20 {
                assert_eq!(per_day(&days(count, week)), None, "{count} days from {begin}");
            }
        }
    }

    #[test]
    fn growth_that_ended_or_is_small_is_none() {
        assert_eq!(per_day(&days(30, |day, _| 500.0 + 20.0 * f64::from(day.min(12)))), None);
        assert_eq!(
            per_day(&days(30, |day, _| 5000.0 + f64::from(day))),
            None,
            "7 MiB of 5 GiB in the next week"
        );
        assert_eq!(per_day(&days(30, |day, _| if day < 15 { 500.0 } else { 800.0 })), None, "a step");
    }

    #[test]
    fn a_restart_begins_anew() {
        let leak = |day: u32, _| 300.0 + 100.0 * f64::from(day % 10);
        assert!(per_day(&days(28, leak)).is_some());
        assert_eq!(per_day(&days(22, leak)), None, "two days after the restart");
    }
}
