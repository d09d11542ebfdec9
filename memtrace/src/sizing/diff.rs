//! How the memory of one version differs from another's, and whether that is more than noise.
//!
//! Two [`Side`]s -> a [`Diff`], or why they cannot be compared. Pure. docs/diff.md explains the rules.

mod bootstrap;
pub mod history;
pub mod interval;
mod matching;
mod refusal;
pub mod side;
pub mod split;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::{
    interval::{Estimate, FEWEST, Noise, Point, estimate},
    matching::matched,
    side::{Figure, Origin, Sample, Side},
    split::{Mostly, Split, mostly, splits},
};
pub use self::{matching::Matched, refusal::Refusal};
use crate::{
    history::lasting::SLOT,
    units::Bytes,
    verdict::{
        rate,
        trend::{self, median},
    },
};

/// The version of [`Diff`]'s JSON form.
pub const SCHEMA: u32 = 1;
/// A shift counts above this part of the larger side, and above so many bytes.
const LEAST_SHARE: f64 = 0.02;
const LEAST_BYTES: f64 = 4.0 * 1024.0 * 1024.0;
/// Seconds in which growth moves a shift by as much as counts: then it is worth a note.
const SOON: f64 = 86_400.0;

/// What a comparison says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// B uses more, beyond noise and by an amount that counts.
    Regression,
    /// B uses less.
    Improvement,
    /// Neither is shown.
    NoChange,
    /// There is too little to say.
    NotEnoughData,
}

/// A comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diff {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What it says.
    pub verdict: Verdict,
    /// The first side.
    pub a: About,
    /// The second side.
    pub b: About,
    /// The figure that decides.
    pub shift: Shift,
    /// Less than this does not count.
    pub threshold_bytes: Bytes,
    /// The least shift that would have been shown; `None` without an interval.
    pub detectable_bytes: Option<Bytes>,
    /// Minutes of history that are missing, of A and of B.
    pub missing_minutes: Option<[u64; 2]>,
    /// What values were compared with which.
    pub matched: Matched,
    /// Other figures; they do not decide.
    pub also: Vec<Shift>,
    /// What most of the shift is.
    pub mostly: Vec<Mostly>,
    /// The parts of the shift.
    pub splits: Vec<Split>,
    /// What is not known, or may mislead.
    pub notes: Vec<String>,
}

/// How a figure differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shift {
    /// The figure.
    pub figure: Figure,
    /// Its median in A.
    pub a_bytes: Bytes,
    /// Its median in B.
    pub b_bytes: Bytes,
    /// How much more B is (Hodges and Lehmann).
    pub bytes: i64,
    /// The 95 % interval; `None` where too little is known.
    pub interval_bytes: Option<[i64; 2]>,
    /// Whether the noise is usual noise, because too few values tell their own.
    pub is_noise_assumed: bool,
}

/// What a side is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// What it was asked for by.
    pub name: String,
    /// What it is, for people.
    pub what: String,
    /// What it is made of.
    pub origin: Origin,
    /// Its version.
    pub version: Option<String>,
    /// Values of the figure that decides.
    pub samples: usize,
    /// The time of the first and the last of them, if they are times.
    pub span: Option<(Timestamp, Timestamp)>,
    /// Growth over them, bytes a second, where there are enough and it is no noise.
    pub growth_bytes_per_second: Option<f64>,
    /// OOM kills.
    pub kills: u64,
    /// Restarts.
    pub restarts: u64,
}

/// Compares two sides.
///
/// # Errors
/// See [`Refusal`].
pub fn compare(a: &Side, b: &Side, takes_any_program: bool) -> Result<Diff, Refusal> {
    refusal::check(a, b, takes_any_program)?;
    let all = [Figure::FirmPeak, Figure::FirmLevel, Figure::Peak, Figure::Charge, Figure::StartUp];
    let mut common = all.into_iter().filter(|figure| refusal::has(a, *figure) && refusal::has(b, *figure));
    let figure =
        common.next().ok_or_else(|| Refusal::NoFigure { a: refusal::figures(a), b: refusal::figures(b) })?;
    let (points, matched) = matched(a, b, figure)?;
    let shift = shift(figure, a, b, &points);
    let levels = shift.a_bytes.max(shift.b_bytes).0 as f64;
    let threshold = (LEAST_SHARE * levels).max(LEAST_BYTES);
    let missing_minutes = missing(a, b, figure);
    let shift = if missing_minutes.is_some() { Shift { interval_bytes: None, ..shift } } else { shift };
    let verdict = verdict(shift.interval_bytes, threshold);
    let detectable = shift.interval_bytes.map(|[low, high]| threshold + (high - low) as f64 / 2.0);
    let abouts = [about(a, figure), about(b, figure)];
    let mut notes = notes(a, b, matched, &shift);
    notes.extend(abouts.iter().zip(["A", "B"]).filter_map(|(about, name)| grows(about, name, threshold)));
    let [about_a, about_b] = abouts;
    let splits = splits(shift.bytes, figure.is_firm(), a, b);
    let also = common.map(|figure| self::shift(figure, a, b, &[unmatched(a, figure), unmatched(b, figure)]));
    Ok(Diff {
        schema: SCHEMA,
        verdict,
        a: about_a,
        b: about_b,
        threshold_bytes: Bytes(threshold.ceil() as u64),
        detectable_bytes: detectable.map(|bytes| Bytes(bytes.ceil() as u64)),
        missing_minutes,
        matched,
        also: also.collect(),
        mostly: mostly(&splits, shift.bytes),
        splits,
        shift,
        notes,
    })
}

/// How one figure differs.
fn shift(figure: Figure, a: &Side, b: &Side, [points_a, points_b]: &[Vec<Point>; 2]) -> Shift {
    let is_timed = [a, b].iter().all(|side| side.origin == Origin::History);
    let noise = if is_timed { Noise::InTime } else { Noise::Independent };
    let found = estimate(points_a, points_b, noise);
    let Estimate { shift, low, high, is_assumed } =
        found.unwrap_or(Estimate { shift: 0.0, low: 0.0, high: 0.0, is_assumed: true });
    // The shift is rounded once, and the interval outwards.
    Shift {
        figure,
        a_bytes: typical(a.samples(figure)),
        b_bytes: typical(b.samples(figure)),
        bytes: shift.round() as i64,
        interval_bytes: found.map(|_| [low.floor() as i64, high.ceil() as i64]),
        is_noise_assumed: is_assumed,
    }
}

fn unmatched(side: &Side, figure: Figure) -> Vec<Point> {
    side.samples(figure).iter().map(|sample| Point { value: sample.bytes.0 as f64, bin: 0 }).collect()
}

fn typical(samples: &[Sample]) -> Bytes {
    let mut values: Vec<f64> = samples.iter().map(|sample| sample.bytes.0 as f64).collect();
    Bytes(median(&mut values).unwrap_or_default() as u64)
}

fn verdict(interval: Option<[i64; 2]>, threshold: f64) -> Verdict {
    match interval {
        None => Verdict::NotEnoughData,
        Some([low, _]) if low as f64 > threshold => Verdict::Regression,
        Some([_, high]) if (high as f64) < -threshold => Verdict::Improvement,
        Some(_) => Verdict::NoChange,
    }
}

/// The minutes of history that are missing, if any are.
fn missing(a: &Side, b: &Side, figure: Figure) -> Option<[u64; 2]> {
    let minutes = [a, b].map(|side| {
        let rows = if side.origin == Origin::History { side.samples(figure).len() } else { FEWEST };
        FEWEST.saturating_sub(rows) as u64 * SLOT / 60
    });
    (minutes != [0, 0]).then_some(minutes)
}

fn about(side: &Side, figure: Figure) -> About {
    let samples = side.samples(figure);
    let timed: Vec<trend::Sample> = samples
        .iter()
        .map(|sample| trend::Sample { at: sample.at as f64, value: sample.bytes.0 as f64 })
        .collect();
    let is_timed = side.origin == Origin::History;
    let tau = trend::tau(&timed).filter(|tau| is_timed && trend::is_significant(tau.abs(), timed.len()));
    About {
        name: side.name.clone(),
        what: side.what.clone(),
        origin: side.origin,
        version: side.version.clone(),
        samples: samples.len(),
        span: side.span(),
        growth_bytes_per_second: tau.and_then(|_| trend::slope(&timed)),
        kills: side.kills,
        restarts: side.restarts,
    }
}

fn grows(about: &About, name: &str, threshold: f64) -> Option<String> {
    let slope = about.growth_bytes_per_second.filter(|slope| slope.abs() * SOON > threshold)?;
    let verb = if slope > 0.0 { "grows" } else { "shrinks" };
    Some(format!("{name} {verb} by {}: the difference depends on when it is measured", rate(slope.abs())))
}

fn notes(a: &Side, b: &Side, matched: Matched, shift: &Shift) -> Vec<String> {
    let mut notes = Vec::new();
    if shift.is_noise_assumed && shift.interval_bytes.is_some() {
        notes.push(match (a.origin, b.origin) {
            (Origin::Run, Origin::Run) => format!(
                "fewer than {FEWEST} runs of each: noise of 2 % from run to run is assumed in part; `memtrace run --repeat \
                 {FEWEST}` measures it"
            ),
            _ => "too few values to know the noise: 2 % is assumed in part".to_owned(),
        });
    }
    if matched == Matched::OtherHours {
        notes.push(
            "A and B are of different times of day, and their load is not known: a difference in load may look like one \
             of the versions"
                .to_owned(),
        );
    }
    for (side, name) in [(a, "A"), (b, "B")] {
        if side.kills > 0 {
            notes.push(format!(
                "{name} had {} OOM kills: its limit hides what it would have used",
                side.kills
            ));
        }
    }
    if a.restarts != b.restarts {
        notes.push(format!("restarts: {} in A, {} in B", a.restarts, b.restarts));
    }
    if let (Some(one), Some(other)) = (&a.version, &b.version)
        && one != other
    {
        notes.push(format!("version of A: {one}; of B: {other}"));
    }
    if a.made_of.is_none() && b.made_of.is_none() {
        notes.push("nobody looked at the owners of the memory: a run is looked at after a second".to_owned());
    }
    notes
}

#[cfg(test)]
#[path = "diff/tests.rs"]
mod tests;
