//! A side of a comparison: what was measured of one version, whatever it comes from.
//!
//! A saved run, a page of runs, an explanation -> [`Side`]. Pure. `history` makes one of rows.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    cgroup::charge::Charge,
    explain::Explanation,
    sizing::{
        made_of::{Amount, MadeOf, cut},
        saved::Saved,
    },
    units::Bytes,
};

/// The most bytes that a figure counts: sums of parts and differences stay exact, in floating point too.
pub const MOST: u64 = 1 << 53;

/// What a side is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Runs of a command.
    Run,
    /// Five-minute rows of a workload.
    History,
    /// One look at what runs now.
    Look,
}

/// A figure that two sides may have in common; the first common one of this order decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// The highest firm memory of a run.
    FirmPeak,
    /// The usual firm memory: the median of five minutes, or the level of a run's second half.
    FirmLevel,
    /// The highest firm memory during start-up.
    StartUp,
    /// The highest charge of a run, page cache included.
    Peak,
    /// The present charge; of a process, its resident memory.
    Charge,
}

impl Figure {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FirmPeak => "peak of firm memory",
            Self::FirmLevel => "level of firm memory",
            Self::StartUp => "start-up",
            Self::Peak => "peak with page cache",
            Self::Charge => "charge",
        }
    }

    /// Whether it has no page cache in it.
    pub const fn is_firm(self) -> bool {
        matches!(self, Self::FirmPeak | Self::FirmLevel | Self::StartUp)
    }
}

/// A value of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds since 1970; for a run its number.
    pub at: i64,
    /// The value.
    pub bytes: Bytes,
    /// CPUs that were busy with it, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<f64>,
}

/// All values of a figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// The figure.
    pub figure: Figure,
    /// Its values, in the order of time.
    pub samples: Vec<Sample>,
}

/// One side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// What it was asked for by.
    pub name: String,
    /// What it is, for people.
    pub what: String,
    /// What it is made of.
    pub origin: Origin,
    /// What ran: the file name of a command, or the label of a workload; `None` where that tells nothing.
    pub program: Option<String>,
    /// Its version, as far as known: an image, or the whole command.
    pub version: Option<String>,
    /// The figures.
    pub figures: Vec<Series>,
    /// Firm memory by kind, near its peak.
    pub kinds: Vec<Amount>,
    /// Page cache then.
    pub page_cache_bytes: Option<Bytes>,
    /// Owners, allocators and call stacks, if somebody looked.
    pub made_of: Option<MadeOf>,
    /// OOM kills.
    pub kills: u64,
    /// Restarts.
    pub restarts: u64,
}

impl Side {
    /// Of a saved run.
    pub fn of_saved(saved: &Saved) -> Self {
        let Saved { name, command, peak, plateau_bytes, .. } = saved;
        let runs = saved.peaks_bytes.len().max(1);
        let many = if runs > 1 { format!("{runs} runs") } else { "a run".to_owned() };
        let command_line = command.join(" ");
        let series = |figure, all: &[Bytes], one: Option<Bytes>| Series {
            figure,
            samples: runs_of(if all.is_empty() { one.as_slice() } else { all }),
        };
        let charge = saved.at_peak.as_ref().map(|reading| &reading.charge);
        Self {
            name: name.clone(),
            what: format!("{many} of `{command_line}`, saved {}", saved.saved.strftime("%F %R UTC")),
            origin: Origin::Run,
            program: command.first().map(|word| program(word)),
            version: Some(command_line),
            figures: known(vec![
                series(Figure::FirmPeak, &saved.firm_peaks_bytes, saved.firm_crest()),
                series(Figure::FirmLevel, &saved.plateaus_bytes, *plateau_bytes),
                series(Figure::Peak, &saved.peaks_bytes, peak.map(|peak| peak.bytes)),
            ]),
            kinds: charge.map(kinds).unwrap_or_default(),
            page_cache_bytes: charge.and_then(Charge::file),
            made_of: saved.made_of.clone(),
            kills: saved.oom_kills.unwrap_or_default(),
            restarts: 0,
        }
    }

    /// Of what runs now.
    pub fn of_look(name: &str, explanation: &Explanation) -> Self {
        let Explanation { total_bytes, firm, time, kind, .. } = explanation;
        let at = time.as_second();
        let sum = firm.iter().fold(0_u64, |sum, part| sum.saturating_add(part.bytes.0));
        let one = |figure, bytes: Option<Bytes>| Series {
            figure,
            samples: bytes.map(|bytes| sample(at, bytes)).into_iter().collect(),
        };
        let kinds = firm.iter().map(|part| Amount { what: cut(&part.what), bytes: bounded(part.bytes) });
        Self {
            name: name.to_owned(),
            what: format!("the {kind} {} at {}", explanation.name, time.strftime("%F %T UTC")),
            origin: Origin::Look,
            program: None,
            version: None,
            figures: known(vec![
                one(Figure::FirmLevel, (!firm.is_empty()).then_some(Bytes(sum))),
                one(Figure::Charge, *total_bytes),
            ]),
            kinds: kinds.collect(),
            page_cache_bytes: None,
            made_of: Some(MadeOf::of(0.0, explanation)),
            kills: 0,
            restarts: 0,
        }
    }

    /// The values of a figure.
    pub fn samples(&self, figure: Figure) -> &[Sample] {
        let found = self.figures.iter().find(|series| series.figure == figure);
        found.map(|series| series.samples.as_slice()).unwrap_or_default()
    }

    /// The first and the last time of its samples, if they are times.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        if self.origin != Origin::History {
            return None;
        }
        let samples = &self.figures.first()?.samples;
        let time = |sample: &Sample| Timestamp::from_second(sample.at).ok();
        samples.first().and_then(time).zip(samples.last().and_then(time))
    }
}

/// Without series that have no values.
pub(super) fn known(mut all: Vec<Series>) -> Vec<Series> {
    all.retain(|series| !series.samples.is_empty());
    all
}

/// A sample, bounded.
pub(super) fn sample(at: i64, bytes: Bytes) -> Sample {
    Sample { at, bytes: bounded(bytes), load: None }
}

fn runs_of(all: &[Bytes]) -> Vec<Sample> {
    (1..).zip(all).map(|(number, bytes)| sample(number, *bytes)).collect()
}

/// At most [`MOST`].
pub(super) fn bounded(Bytes(bytes): Bytes) -> Bytes {
    Bytes(bytes.min(MOST))
}

/// Firm memory by kind, as far as known.
fn kinds(charge: &Charge) -> Vec<Amount> {
    let reclaimable = charge.slab_reclaimable_bytes.unwrap_or_default().0;
    let kernel = charge.kernel().map(|Bytes(kernel)| Bytes(kernel.saturating_sub(reclaimable)));
    by_kind(charge.anon_bytes, charge.shmem_bytes, kernel)
}

/// The kinds by name; what is unknown is left out, and is in the remainder.
pub(super) fn by_kind(anon: Option<Bytes>, shmem: Option<Bytes>, kernel: Option<Bytes>) -> Vec<Amount> {
    [("anonymous memory", anon), ("shared memory, tmpfs", shmem), ("kernel memory", kernel)]
        .into_iter()
        .filter_map(|(what, bytes)| Some(Amount { what: what.to_owned(), bytes: bounded(bytes?) }))
        .collect()
}

/// The file name of a command without a version at its end: `/usr/bin/python3.11` is `python`.
fn program(word: &str) -> String {
    let file = word.rsplit('/').next().unwrap_or(word);
    let bare = file.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '_'));
    if bare.is_empty() { file.to_owned() } else { bare.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::program;

    #[test]
    fn a_program_is_the_same_in_another_version() {
        for word in ["python", "/usr/bin/python3.11", "./python3"] {
            assert_eq!(program(word), "python");
        }
        assert_eq!(
            (program("7"), program("./bench-2"), program("")),
            ("7".into(), "bench".into(), "".into())
        );
    }
}
