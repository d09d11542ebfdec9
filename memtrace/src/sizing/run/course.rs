//! The course of a run: start-up, plateau, growth, and the verdicts on it.
//!
//! Readings as they come -> [`Gathered`], bounded; at the end -> [`Course`], by the rules of the `verdict` room on firm
//! memory. Too little to say is said.

use serde::{Deserialize, Serialize};

use super::Reading;
use crate::{
    cgroup::charge::Charge,
    units::Bytes,
    verdict::{
        self, Finding, Kind, Picture,
        shape::Shape,
        trend::{self, Sample},
    },
};

/// The most samples that are kept; then every second one goes: 48 KiB.
const MOST: usize = 2048;
/// Growth over a shorter time, in seconds, tells nothing.
const SHORTEST: f64 = 10.0;
/// A start has ended where this fraction of the later level is reached.
const STARTED: f64 = 0.9;
/// So many samples may be taken while a command ends, each lower than the one before by more than this fraction.
const LAST: usize = 2;
const FALL: f64 = 0.2;
/// The points of the drawing.
const DRAWN: usize = 60;

/// The course of firm memory: what the kernel cannot reclaim.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Course {
    /// Readings of all kinds.
    pub samples: usize,
    /// The highest firm memory of a reading.
    pub firm_peak_bytes: Option<Bytes>,
    /// The level of the second half.
    pub plateau_bytes: Option<Bytes>,
    /// Seconds until nearly all of that level was reached.
    pub startup_seconds: Option<f64>,
    /// Growth at the end, bytes a second, robust.
    pub growth_bytes_per_second: Option<f64>,
    /// Why the growth is unknown.
    pub no_growth: Option<String>,
    /// The leak, if there is one.
    pub leak: Option<String>,
    /// Why it is not known whether there is a leak.
    pub no_leak_verdict: Option<String>,
    /// Verdicts, most important first.
    pub findings: Vec<Finding>,
    /// Usage over time, evenly spaced, for a drawing; the highest of each interval.
    pub drawing: Vec<Option<Bytes>>,
}

impl Course {
    /// The growth, or why it is unknown.
    ///
    /// # Errors
    /// The reason.
    pub fn growth(&self) -> Result<f64, String> {
        self.growth_bytes_per_second
            .ok_or_else(|| self.no_growth.clone().unwrap_or_else(|| "too little was seen".to_owned()))
    }
}

/// A reading that is kept.
#[derive(Clone, Copy, Debug)]
struct Kept {
    at: f64,
    usage: Option<Bytes>,
    firm: Option<Bytes>,
}

/// Readings of a run in progress.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    kept: Vec<Kept>,
    /// Every how many readings one is kept.
    every: usize,
    taken: usize,
    /// The highest usage, also between the readings of all kinds.
    crest: Option<Bytes>,
    /// The reading with the highest usage.
    highest: Option<Reading>,
    firm_peak: Option<Bytes>,
}

impl Gathered {
    /// Takes the usage alone.
    pub fn take_usage(&mut self, usage: Bytes) {
        self.crest = self.crest.max(Some(usage));
    }

    /// Takes a reading of all kinds.
    pub fn take(&mut self, at: f64, charge: Charge) {
        let kept = Kept { at, usage: charge.usage_bytes, firm: charge.firm() };
        self.crest = self.crest.max(kept.usage);
        self.firm_peak = self.firm_peak.max(kept.firm);
        self.every = self.every.max(1);
        if self.taken.is_multiple_of(self.every) {
            self.kept.push(kept);
        }
        self.taken += 1;
        if self.kept.len() >= MOST {
            let mut index = 0;
            self.kept.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.every *= 2;
        }
        if self.highest.as_ref().is_none_or(|highest| highest.charge.usage_bytes < charge.usage_bytes) {
            self.highest = Some(Reading { at, charge });
        }
    }

    /// The highest usage so far.
    pub fn crest(&self) -> Option<Bytes> {
        self.crest
    }

    /// The reading with the highest usage so far.
    pub fn highest(&self) -> Option<&Reading> {
        self.highest.as_ref()
    }

    /// The course; the run took `seconds`, under `limit`.
    pub fn course(&self, seconds: f64, limit: Option<Bytes>) -> Course {
        let samples: Vec<Sample> = self
            .kept
            .iter()
            .filter_map(|kept| Some(Sample { at: kept.at, value: kept.firm?.0 as f64 }))
            .collect();
        let samples = before_the_end(&samples);
        // A run is one: what falls in it is no restart.
        let shape = Shape::of(samples, Some(f64::NEG_INFINITY));
        let picture = Picture {
            samples,
            shape: shape.as_ref().map_err(Clone::clone),
            age: Some(seconds),
            firm: samples.last().map(|last| Bytes(last.value as u64)),
            firm_peak: self.firm_peak,
            limit,
            ..Picture::default()
        };
        let findings = verdict::findings(&picture);
        let leak = findings.iter().find(|finding| finding.kind == Kind::Leak);
        let growth = growth(&shape);
        let plateau = plateau(samples);
        Course {
            samples: self.taken,
            firm_peak_bytes: self.firm_peak,
            plateau_bytes: plateau.map(|level| Bytes(level as u64)),
            startup_seconds: plateau.and_then(|level| started(samples, level)),
            growth_bytes_per_second: growth.as_ref().ok().copied(),
            no_growth: growth.err(),
            leak: leak.map(|finding| finding.sentence.clone()),
            no_leak_verdict: verdict::leak(&picture).err(),
            findings,
            drawing: self.drawing(seconds),
        }
    }

    fn drawing(&self, seconds: f64) -> Vec<Option<Bytes>> {
        let mut points = vec![None; DRAWN.min(self.kept.len())];
        let count = points.len();
        for kept in &self.kept {
            let index = (kept.at / seconds.max(f64::MIN_POSITIVE) * count as f64) as usize;
            if let Some(point) = points.get_mut(index.min(count.saturating_sub(1))) {
                *point = kept.usage.max(*point);
            }
        }
        points
    }
}

/// Without the last samples if the command was giving its memory back as it ended.
fn before_the_end(samples: &[Sample]) -> &[Sample] {
    let mut kept = samples;
    for _ in 0..LAST {
        match kept {
            [rest @ .., before, last] if last.value < before.value * (1.0 - FALL) => {
                kept = samples.get(..=rest.len()).unwrap_or(samples);
            }
            _ => break,
        }
    }
    kept
}

/// The slope of the floors in the last third.
fn growth(shape: &Result<Shape, String>) -> Result<f64, String> {
    let shape = shape.as_ref().map_err(Clone::clone)?;
    if shape.span < SHORTEST {
        return Err(format!("it ran for {:.1} s only; growth needs {SHORTEST:.0} s", shape.span));
    }
    Ok(shape.late_slope)
}

/// The median of the second half of the time.
fn plateau(samples: &[Sample]) -> Option<f64> {
    let (first, last) = samples.first().zip(samples.last())?;
    let middle = f64::midpoint(first.at, last.at);
    let mut late: Vec<f64> =
        samples.iter().filter(|sample| sample.at >= middle).map(|sample| sample.value).collect();
    if late.len() < trend::FEWEST { None } else { trend::median(&mut late) }
}

/// When the level was nearly reached for the first time.
fn started(samples: &[Sample], level: f64) -> Option<f64> {
    samples.iter().find(|sample| sample.value >= STARTED * level).map(|sample| sample.at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reading a second of anonymous memory alone.
    fn gathered(mib: impl IntoIterator<Item = u64>) -> Gathered {
        let mut gathered = Gathered::default();
        for (at, mib) in mib.into_iter().enumerate() {
            let bytes = Some(Bytes(mib << 20));
            let charge = Charge {
                usage_bytes: bytes,
                anon_bytes: bytes,
                active_file_bytes: Some(Bytes(0)),
                inactive_file_bytes: Some(Bytes(0)),
                ..Charge::default()
            };
            gathered.take(at as f64, charge);
        }
        gathered
    }

    #[test]
    fn a_start_ends_where_the_level_is_reached() {
        let course = gathered((0..100).map(|at| 50 + at.min(20) * 10)).course(100.0, None);
        assert_eq!(course.plateau_bytes, Some(Bytes(250 << 20)));
        assert_eq!(course.startup_seconds, Some(18.0));
        assert_eq!(course.growth(), Ok(0.0));
        assert_eq!(course.firm_peak_bytes, Some(Bytes(250 << 20)));
    }

    #[test]
    fn growth_is_that_of_the_end() {
        let course = gathered((0..300).map(|at| 100 + at)).course(300.0, None);
        let mib = course.growth().unwrap() / 1_048_576.0;
        assert!((mib - 1.0).abs() < 0.05, "{mib}");
        assert!(course.leak.is_some() && course.no_leak_verdict.is_none(), "{course:?}");
    }

    #[test]
    fn what_a_command_gives_back_at_its_end_is_no_part_of_its_course() {
        let up = || (0..60).map(|at| 100 + at);
        let whole = gathered(up()).course(60.0, None);
        let ended = gathered(up().chain([80, 3])).course(62.0, None);
        assert_eq!(ended.growth(), whole.growth());
        assert!(whole.growth().unwrap() > 0.0);
        // One that lets go of its memory and goes on is another matter.
        let fallen = gathered(up().chain([3; 60])).course(120.0, None);
        assert_eq!((fallen.growth(), fallen.plateau_bytes), (Ok(0.0), Some(Bytes(3 << 20))));
    }

    #[test]
    fn a_run_that_is_too_short_tells_nothing_and_says_so() {
        let course = gathered([1, 2, 3]).course(3.0, None);
        assert_eq!(course.growth(), Err("not enough samples: 3".to_owned()));
        assert_eq!((course.plateau_bytes, course.leak), (None, None));
        assert!(course.no_leak_verdict.is_some());
        let none = Gathered::default().course(0.0, None);
        assert_eq!((none.firm_peak_bytes, none.drawing.len()), (None, 0));
    }

    #[test]
    fn a_long_run_keeps_its_highest_reading_and_stays_small() {
        let mut all = gathered((0..100_000).map(|at| if at == 77_777 { 500 } else { 7 }));
        all.take_usage(Bytes(600 << 20));
        assert!(all.kept.len() < MOST);
        assert_eq!(all.highest().map(|highest| highest.at), Some(77_777.0));
        assert_eq!(all.crest(), Some(Bytes(600 << 20)));
    }
}
