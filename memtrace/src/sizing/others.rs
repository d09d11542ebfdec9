//! What others would advise, by their formulas, from what a scraper sees.
//!
//! Working sets of days, and OOM kills -> limits. Pure. The formulas are those of their code in 2026: VPA's recommender
//! (`vertical-pod-autoscaler/pkg/recommender`, defaults) and KRR's `simple` strategy.

use crate::units::Bytes;

/// VPA: buckets of a histogram, each 5 % wider than the one before; the first of 10 MB.
const FIRST_BUCKET: f64 = 1e7;
const RATIO: f64 = 1.05;
/// VPA: days whose peaks are in the histogram, and the time in which a peak's weight halves, in days.
const VPA_DAYS: usize = 8;
const HALF_LIFE: f64 = 1.0;
/// VPA: the share of weight below the target, its safety margin, and the least memory of a pod.
const TARGET: f64 = 0.9;
const SAFETY: f64 = 1.15;
const LEAST: u64 = 250 << 20;
/// VPA: what an OOM kill counts as: usage times this, or plus this.
const BUMP_RATIO: f64 = 1.2;
const BUMP: u64 = 100 << 20;
/// KRR: days of history; buffer above the highest; buffer above the limit of an OOM kill; the least.
const KRR_DAYS: usize = 14;
const KRR_BUFFER: f64 = 1.15;
const KRR_OOM: f64 = 1.25;
const KRR_LEAST: u64 = 100_000_000;

/// A day as others see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scraped {
    /// The highest working set.
    pub working_set: Option<Bytes>,
    /// The limit at which a process was killed.
    pub killed_at: Option<Bytes>,
}

/// VPA's target: the upper end of the bucket below which 90 % of the weight of the days' peaks is, and 15 %.
pub fn vpa(days: &[Scraped]) -> Option<Bytes> {
    let newest = days.len().saturating_sub(VPA_DAYS);
    let days = days.get(newest..)?;
    let mut buckets: Vec<(usize, f64)> = days
        .iter()
        .enumerate()
        .filter_map(|(index, day)| {
            let bumped = day
                .killed_at
                .map(|Bytes(used)| ((used as f64 * BUMP_RATIO) as u64).max(used.saturating_add(BUMP)));
            let peak = day.working_set.map(|Bytes(peak)| peak).max(bumped)?;
            let age = (days.len() - 1 - index) as f64;
            Some((bucket(peak as f64), (-age / HALF_LIFE).exp2()))
        })
        .collect();
    buckets.sort_by_key(|(bucket, _)| *bucket);
    let all: f64 = buckets.iter().map(|(_, weight)| weight).sum();
    let mut below = 0.0;
    let found = buckets.iter().find(|(_, weight)| {
        below += weight;
        below >= TARGET * all
    });
    let (bucket, _) = found.or(buckets.last())?;
    let target = begin(bucket + 1) * SAFETY;
    Some(Bytes((target as u64).max(LEAST)))
}

/// The bucket of a value.
fn bucket(value: f64) -> usize {
    if value < FIRST_BUCKET {
        return 0;
    }
    ((value * (RATIO - 1.0) / FIRST_BUCKET + 1.0).ln() / RATIO.ln()).floor().max(0.0) as usize
}

/// Where a bucket begins.
fn begin(bucket: usize) -> f64 {
    FIRST_BUCKET * (RATIO.powf(bucket as f64) - 1.0) / (RATIO - 1.0)
}

/// KRR's limit: 15 % above the highest working set, or 25 % above the limit of an OOM kill.
pub fn krr(days: &[Scraped]) -> Option<Bytes> {
    let days = days.get(days.len().saturating_sub(KRR_DAYS)..)?;
    let highest = days.iter().filter_map(|day| day.working_set).max()?;
    let killed = days.iter().filter_map(|day| day.killed_at).max();
    let limit = (highest.0 as f64 * KRR_BUFFER).max(killed.map_or(0.0, |at| at.0 as f64 * KRR_OOM));
    Some(Bytes((limit as u64).max(KRR_LEAST)))
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Scraped, begin, bucket, krr, vpa};

    const MIB: u64 = 1 << 20;

    fn days(mib: &[u64]) -> Vec<Scraped> {
        let day = |mib: &u64| Scraped { working_set: Some(Bytes(mib * MIB)), killed_at: None };
        mib.iter().map(day).collect()
    }

    #[test]
    fn buckets_are_where_vpa_has_them() {
        for value in [1e6, 1e7, 2.06e7, 5e8, 4e9] {
            let at = bucket(value);
            assert!(begin(at) <= value + 1.0 && value < begin(at + 1), "{value}");
        }
        assert_eq!((bucket(9_999_999.0), bucket(10_000_000.0)), (0, 1));
    }

    #[test]
    fn vpa_takes_the_ninetieth_percentile_and_its_margins() {
        let Bytes(target) = vpa(&days(&[1000; 8])).unwrap();
        let ratio = target as f64 / (1000 * MIB) as f64;
        assert!((1.15..1.15 * 1.05).contains(&ratio), "{ratio}");
        assert_eq!(vpa(&days(&[10])), Some(Bytes(250 * MIB)), "the least of a pod");
        // The last day has half of the weight, and two days three quarters.
        let high = vpa(&days(&[1000, 1000, 1000, 1000, 1000, 1000, 1000, 2000])).unwrap();
        assert!(high.0 > 2000 * MIB);
        let forgotten = vpa(&days(&[1000, 1000, 1000, 2000, 1000, 1000, 1000, 1000])).unwrap();
        assert!(forgotten.0 < 1300 * MIB, "a peak of four days ago has 3 % of the weight");
        assert_eq!(vpa(&[]), None);
    }

    #[test]
    fn an_oom_kill_counts_for_more_than_what_was_used() {
        let killed = Scraped { working_set: Some(Bytes(400 * MIB)), killed_at: Some(Bytes(400 * MIB)) };
        assert!(vpa(&[killed]).unwrap().0 >= 575 * MIB);
        assert_eq!(krr(&[killed]), Some(Bytes(500 * MIB)));
        assert_eq!(krr(&days(&[100, 400])), Some(Bytes((400.0 * 1.15 * MIB as f64) as u64)));
    }
}
