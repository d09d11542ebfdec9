//! The rate of the heap profile: on average one byte in so many is a sample (`runtime.MemProfileRate`).
//!
//! Buckets, and the bytes that the runtime allocated since its start -> the rate, or why it is not known. Pure.

use super::buckets::Bucket;

/// `runtime.MemProfileRate` unless a program sets it.
const DEFAULT: f64 = 524_288.0;
/// See `allocator::counters::sampling`: standard errors, and the mean that none seen does not exclude.
pub(super) const ERRORS: f64 = 4.45;
pub(super) const LUCK: f64 = 9.22;
/// What the runtime's counters may lag behind, in bytes: see `MOST_UNCOUNTED` in `go/counters.rs`.
const LAG: f64 = (4 << 20) as f64;
/// Rates between which it is searched.
const MOST: f64 = (1_u64 << 40) as f64;
/// Relative errors that are too large to tell anything.
const MOST_DOUBT: f64 = 0.5;

/// A rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate {
    /// In bytes; 1 when everything is a sample.
    pub(super) bytes: u64,
    pub(super) is_default: bool,
    /// Its relative error.
    pub(super) doubt: f64,
}

impl Rate {
    /// The chance of an object of this size to be a sample; 1 at the most, and not 0.
    pub(super) fn chance(self, size: u64) -> f64 {
        chance(size as f64, self.bytes as f64)
    }
}

/// As `runtime/pprof` scales (`scaleHeapSample`).
fn chance(size: f64, rate: f64) -> f64 {
    if rate <= 1.0 { 1.0 } else { (-(-size / rate).exp_m1()).max(1e-12) }
}

/// The bytes that these buckets say were allocated.
fn scaled(buckets: &[Bucket], rate: f64) -> f64 {
    let of = |bucket: &Bucket| {
        let size = bucket.size as f64;
        bucket.allocated as f64 * size / chance(size, rate)
    };
    buckets.iter().map(of).sum()
}

/// The rate that makes both sums agree.
///
/// # Errors
/// When it is not the default, and the sums are too small to tell it.
pub(super) fn of(buckets: &[Bucket], allocated: u64) -> Result<Rate, &'static str> {
    let samples = buckets.iter().map(|bucket| bucket.allocated as f64).sum::<f64>();
    let (truth, by_default) = (allocated as f64, scaled(buckets, DEFAULT));
    // What chance may do to a sample of so many bytes.
    let slack = LAG + truth / 10.0 + DEFAULT * (ERRORS * (truth / DEFAULT).sqrt() + LUCK);
    if (by_default - truth).abs() <= slack {
        return Ok(Rate { bytes: DEFAULT as u64, is_default: true, doubt: 0.0 });
    }
    let (doubt, lag) = (ERRORS / samples.max(1.0).sqrt(), LAG / truth.max(1.0));
    let unseen = (truth - scaled(buckets, 1.0)) / truth.max(1.0);
    if unseen <= 0.1 + lag {
        // Nearly all of it is a sample; the rest is older than the setting.
        return Ok(Rate { bytes: 1, is_default: false, doubt: unseen.max(0.0) });
    }
    let (mut low, mut high) = (1.0_f64, MOST);
    for _ in 0..100 {
        let middle = (low * high).sqrt();
        if scaled(buckets, middle) < truth { low = middle } else { high = middle }
    }
    if doubt + lag <= MOST_DOUBT && low < MOST / 2.0 {
        return Ok(Rate { bytes: low as u64, is_default: false, doubt: doubt + lag });
    }
    Err("its sampling rate is not the default, and there are too few samples to tell it")
}
