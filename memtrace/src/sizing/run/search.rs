//! The least limit that a command lives with.
//!
//! Its peak without a limit -> the next limit to try, as long as that tells something -> [`Found`], with every try as a
//! point of the curve. Each try is one run: the firm peak is the first guess, steps downwards grow until one fails, and
//! halving (by ratio) does the rest. What is found is tried again: a program may need more the next time.

use serde::{Deserialize, Serialize};

use super::Run;
use crate::units::Bytes;

/// The most runs, the one without a limit included.
pub const MOST_RUNS: usize = 12;
/// Limits that are this close are not told apart.
const TOLERANCE: f64 = 0.01;
/// What the first guess is above the firm peak.
const ROOM: f64 = 1.01;
/// Steps downwards while nothing fails.
const STEPS: [f64; 5] = [0.97, 0.85, 0.6, 0.3, 0.1];
/// Steps upwards while nothing lives: what is above the peak helps a program whose peak differs.
const RAISES: [f64; 4] = [1.0, 1.02, 1.1, 1.3];
/// How often the found limit must hold.
const CONFIRMED: usize = 2;
/// A run may take so much longer than the one without a limit: this factor, and these seconds.
const SLOWER: f64 = 1.1;
const LATER: f64 = 0.1;
/// The greatest share of its time in which all of its tasks wait for memory.
const MOST_STALL: f64 = 0.05;

/// One run with a limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Try {
    /// The limit.
    pub limit_bytes: Bytes,
    /// Whether it is enough.
    pub lived: bool,
    /// Why not.
    pub why: Option<String>,
    /// How long it took.
    pub seconds: f64,
    /// The share of that in which all of its tasks waited for memory; v1 counts none.
    pub stall: Option<f64>,
}

/// The result of a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The least limit that held each time it was tried; `None` if no limit did.
    pub limit_bytes: Option<Bytes>,
    /// The highest limit below it that failed; with the limit it bounds what the command needs.
    pub failed_bytes: Option<Bytes>,
    /// Whether one limit failed once and held once: the command's memory differs from run to run.
    pub is_uneven: bool,
    /// Why it ended early.
    pub why: Option<String>,
    /// All runs with a limit, in order.
    pub tries: Vec<Try>,
}

/// A search in progress.
#[derive(Clone, Debug)]
pub struct Search {
    peak: u64,
    guess: u64,
    page: u64,
    most: usize,
    tries: Vec<Try>,
}

impl Search {
    /// From the runs without a limit; `page` is the size of a page.
    ///
    /// # Errors
    /// Why nothing can be searched.
    pub fn new(bases: &[Run], page: u64) -> Result<Self, String> {
        let Some(first) = bases.first() else { return Err("it was not run".to_owned()) };
        if bases.iter().any(Run::was_killed) {
            return Err("it is OOM-killed without a limit of its own".to_owned());
        }
        if let Some(failed) = bases.iter().find(|run| run.end.code() != 0) {
            return Err(format!("it exits with {} without a limit", failed.end.code()));
        }
        let peaks = bases.iter().filter_map(|run| run.peak).map(|peak| peak.bytes.0);
        let peak = peaks.max().ok_or_else(|| "its peak is unknown".to_owned())?.max(page);
        let firm = bases.iter().filter_map(|run| run.course.firm_peak_bytes).map(|firm| firm.0).max();
        // A short run is over before it is sampled; the peak is always known.
        let sampled = first.course.samples > 2;
        let guess = firm.filter(|_| sampled).map_or(peak, |firm| (firm as f64 * ROOM) as u64);
        let most = MOST_RUNS.saturating_sub(bases.len());
        Ok(Self { peak, guess: guess.clamp(page, peak), page, most, tries: Vec::new() })
    }

    /// The next limit to try; `None` when it is found, or too many were tried.
    pub fn next(&self) -> Option<Bytes> {
        if self.tries.len() >= self.most {
            return None;
        }
        let (failed, lived) = self.bounds();
        let next = match (failed, lived) {
            (None, None) => self.guess,
            (Some(failed), None) => {
                RAISES.iter().map(|raise| (self.peak as f64 * raise) as u64).find(|limit| *limit > failed)?
            }
            (None, Some(lived)) => {
                let step = STEPS.get(self.tries.len().checked_sub(1)?)?;
                (lived as f64 * step) as u64
            }
            (Some(failed), Some(lived)) if self.is_close(failed, lived) => {
                return (self.count(lived) < CONFIRMED).then_some(Bytes(lived));
            }
            (Some(failed), Some(lived)) => {
                ((failed as f64 * lived as f64).sqrt() as u64).clamp(failed + 1, lived - 1)
            }
        };
        Some(Bytes(next.next_multiple_of(self.page).max(self.page)))
    }

    /// Takes a run with this limit; `bases` are the runs without one.
    pub fn take(&mut self, limit: Bytes, run: &Run, bases: &[Run]) {
        let why = failure(run, bases);
        self.tries.push(Try {
            limit_bytes: limit,
            lived: why.is_none(),
            why,
            seconds: run.seconds,
            stall: run.stall(),
        });
    }

    /// The last try.
    pub fn last(&self) -> Option<&Try> {
        self.tries.last()
    }

    /// The result; `why` if it ended early.
    pub fn end(self, why: Option<String>) -> Found {
        let (failed, lived) = self.bounds();
        let both = |one: &Try| {
            one.lived && self.tries.iter().any(|other| !other.lived && other.limit_bytes >= one.limit_bytes)
        };
        let is_uneven = self.tries.iter().any(both);
        let open = match (failed, lived) {
            (Some(failed), Some(lived)) => !self.is_close(failed, lived) || self.count(lived) < CONFIRMED,
            _ => false,
        };
        let why = why.or_else(|| {
            let most = self.tries.len() >= self.most;
            (open && most).then(|| format!("{MOST_RUNS} runs were not enough to be nearer"))
        });
        Found {
            limit_bytes: lived.map(Bytes),
            failed_bytes: failed.map(Bytes),
            is_uneven,
            why,
            tries: self.tries,
        }
    }

    /// The highest limit that failed, and the least that held and is above it.
    fn bounds(&self) -> (Option<u64>, Option<u64>) {
        let of = |lived: bool| {
            self.tries.iter().filter(move |one| one.lived == lived).map(|one| one.limit_bytes.0)
        };
        let failed = of(false).max();
        (failed, of(true).filter(|limit| failed.is_none_or(|failed| *limit > failed)).min())
    }

    fn is_close(&self, failed: u64, lived: u64) -> bool {
        lived.saturating_sub(failed) <= self.page || lived as f64 <= failed as f64 * (1.0 + TOLERANCE)
    }

    fn count(&self, limit: u64) -> usize {
        self.tries.iter().filter(|one| one.limit_bytes.0 == limit).count()
    }
}

/// Why a run with a limit is no success. Slowness counts only where the limit was hit: else it has another reason.
fn failure(run: &Run, bases: &[Run]) -> Option<String> {
    if run.was_killed() {
        return Some("OOM kill".to_owned());
    }
    match run.end.code() {
        0 => {}
        code => return Some(format!("exit code {code}")),
    }
    if run.limit_hits == Some(0) {
        return None;
    }
    if let Some(stall) = run.stall().filter(|stall| *stall >= MOST_STALL) {
        return Some(format!("stalled for {:.0} % of its time", stall * 100.0));
    }
    let slowest = bases.iter().map(|base| base.seconds).fold(0.0, f64::max);
    let is_slow = run.seconds > slowest * SLOWER && run.seconds > slowest + LATER;
    is_slow.then(|| format!("took {:.2} times as long", run.seconds / slowest.max(f64::MIN_POSITIVE)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{End, fixture},
        *,
    };

    const PAGE: u64 = 4096;

    fn base(peak: u64, firm: u64) -> Run {
        let mut run = fixture::run(peak);
        (run.course.samples, run.course.firm_peak_bytes) = (100, Some(Bytes(firm)));
        run
    }

    fn killed() -> Run {
        Run { end: End::Signalled(9), oom_kills: Some(1), ..fixture::run(1) }
    }

    /// Searches where a run lives with `needs(try)` bytes.
    fn search(base: &Run, mut needs: impl FnMut(usize) -> u64) -> Found {
        let bases = std::slice::from_ref(base);
        let mut search = Search::new(bases, PAGE).unwrap();
        let mut runs = 1;
        while let Some(limit) = search.next() {
            let run = if limit.0 >= needs(runs) { fixture::run(1) } else { killed() };
            search.take(limit, &run, bases);
            runs += 1;
        }
        assert!(runs <= MOST_RUNS, "{runs}");
        search.end(None)
    }

    #[test]
    fn a_program_without_page_cache_is_found_in_a_few_runs() {
        let found = search(&base(64 << 20, 64 << 20), |_| 63 << 20);
        let limit = found.limit_bytes.unwrap().0;
        assert!(limit >= 63 << 20 && limit as f64 <= 1.02 * f64::from(63 << 20), "{limit}");
        assert!(found.tries.len() <= 6, "{found:?}");
        assert!(!found.is_uneven && found.why.is_none());
    }

    #[test]
    fn a_limit_that_held_once_is_tried_again_and_the_doubt_is_said() {
        // The third run needs less than all others.
        let found = search(&base(64 << 20, 64 << 20), |run| if run == 2 { 1 << 20 } else { 64 << 20 });
        assert!(found.is_uneven, "{found:?}");
        assert!(found.limit_bytes.unwrap().0 >= 64 << 20, "{found:?}");
    }

    #[test]
    fn what_needs_more_than_its_peak_gets_more_and_then_nothing() {
        let found = search(&base(64 << 20, 60 << 20), |_| 70 << 20);
        let limit = found.limit_bytes.unwrap().0;
        assert!((70 << 20..=72 << 20).contains(&limit), "{limit}");
        let never = search(&base(64 << 20, 60 << 20), |_| u64::MAX);
        assert_eq!(never.limit_bytes, None);
    }

    #[test]
    fn a_command_that_fails_without_a_limit_has_none() {
        let failed = Run { end: End::Exited(3), ..fixture::run(1) };
        assert_eq!(Search::new(&[failed], PAGE).unwrap_err(), "it exits with 3 without a limit");
        assert!(Search::new(&[killed()], PAGE).is_err());
        assert!(Search::new(&[], PAGE).is_err());
    }

    #[test]
    fn slowness_counts_where_the_limit_was_hit() {
        let bases = [fixture::run(1)];
        let slow = Run { seconds: 3.0, limit_hits: Some(0), ..fixture::run(1) };
        assert_eq!(failure(&slow, &bases), None, "the machine was busy");
        let hit = Run { limit_hits: Some(9), ..slow };
        assert_eq!(failure(&hit, &bases).unwrap(), "took 2.00 times as long");
        let stalled = Run { seconds: 1.5, stalled_seconds: Some(0.3), ..hit };
        assert_eq!(failure(&stalled, &bases).unwrap(), "stalled for 20 % of its time");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever it needs of its peak, it is found within 2 % and a page, in 12 runs.
        #[test]
        fn the_least_limit_is_found(pages in 50_u64..100_000, firm in 0.05_f64..1.0, need in 0.5_f64..1.0) {
            let peak = pages * PAGE;
            let firm = (peak as f64 * firm) as u64;
            // What it needs is near its firm memory.
            let needs = ((firm as f64 * need) as u64).max(PAGE);
            let found = search(&base(peak, firm), |_| needs);
            let limit = found.limit_bytes.unwrap().0;
            prop_assert!(limit >= needs, "{found:?}");
            prop_assert!(limit as f64 <= needs as f64 * 1.02 + 2.0 * PAGE as f64, "{found:?} for {needs}");
        }
    }
}
