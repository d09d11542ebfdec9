//! How much of an allocator's resident memory its own figures cover, and what is said of the rest.
//!
//! A [`Holding`] -> the same with its gaps, a finding, a sentence on its exactness. Pure. Figures that leave a part of
//! the memory open may be right, but the rest is not the program's need: huge pages fill the gaps between blocks, and a
//! second allocator may live in the same ranges.

use jiff::Timestamp;

use super::Holding;
use crate::{
    snapshot::age,
    units::{Bytes, Grade},
    verdict::{Confidence, Fact, Finding, Kind, Remedy},
};

/// Figures that cover less than this part of the resident memory are not exact.
const COVERED: f64 = 0.9;
/// Below this part most of the memory is of something else.
const HALF: f64 = 0.5;
/// A gap of fewer bytes is rounding.
const SMALL: u64 = 4 << 20;
/// A gap from which there is a finding.
const LARGE: u64 = 16 << 20;
/// The same if only its size is known.
const VERY_LARGE: u64 = 64 << 20;
/// Huge pages explain a gap if they may fill this part of it.
const FILLED: f64 = 0.5;
/// A reading is of the same instant as the page if it is not older, in seconds.
const AT_ONCE: f64 = 2.0;

/// The sum of the huge pages of several processes, as far as known.
pub(super) fn more(sum: Option<Bytes>, more: Option<Bytes>) -> Option<Bytes> {
    match (sum, more) {
        (Some(sum), Some(more)) => Some(Bytes(sum.0.saturating_add(more.0))),
        (sum, more) => sum.or(more),
    }
}

impl Holding {
    /// The part of the resident memory that its figures cover; `None` without figures.
    fn coverage(&self) -> Option<f64> {
        let untold = self.untold_bytes?.0.min(self.resident_bytes.0);
        Some(1.0 - untold as f64 / (self.resident_bytes.0 as f64).max(1.0))
    }

    /// Whether the figures cover the memory, but for rounding.
    fn is_covered(&self) -> bool {
        let is_small = self.untold_bytes.is_none_or(|untold| untold.0 < SMALL);
        is_small || self.coverage().is_none_or(|covered| covered >= COVERED)
    }

    /// By how much what is in use exceeds the resident memory, beyond the error of the figures.
    fn beyond(&self) -> Option<Bytes> {
        let error = self.error_bytes.unwrap_or_default().0.saturating_add(SMALL);
        let beyond = self.allocated_bytes?.0.checked_sub(self.resident_bytes.0)?;
        (beyond > error).then_some(Bytes(beyond))
    }

    /// What the figure in use is worth at this time, in words.
    pub(crate) fn exactness(&self, now: Timestamp) -> String {
        let is_whole = self.is_covered() && self.beyond().is_none();
        let at_most = if self.error_bytes.is_none() { ", at most" } else { "" };
        let read = self.counters_read.map(|read| age(now, read)).filter(|age| *age > AT_ONCE);
        let ago = read.map(|age| format!("read {age:.0} s ago"));
        let error = match self.error_bytes {
            None => Some("see below".to_owned()),
            Some(Bytes(0)) if is_whole && ago.is_none() => Some("exact".to_owned()),
            Some(Bytes(0)) if is_whole => Some("exact then".to_owned()),
            Some(Bytes(0)) => None,
            Some(error) => Some(format!("error at most {error}")),
        };
        let words = [format!("allocated by the program{at_most}")].into_iter().chain(ago).chain(error);
        words.collect::<Vec<_>>().join("; ")
    }
}

/// Notes what the figures of a holding do not cover.
pub(super) fn judge(holding: &mut Holding) {
    if let Some(beyond) = holding.beyond() {
        holding.grade = Grade::Inferred;
        holding.missing.push(format!(
            "where {beyond} of what is in use are: never touched, swapped out, or in resident memory without an owner here"
        ));
    }
    let untold = holding.untold_bytes.unwrap_or_default();
    if holding.is_covered() {
        holding.huge_fill_bytes = None;
        return;
    }
    holding.huge_fill_bytes = holding.huge_fill_bytes.map(|huge| huge.min(untold));
    let covered = holding.coverage().unwrap_or_default() * 100.0;
    let rest = match holding.huge_fill_bytes {
        Some(Bytes(0)) => "no huge pages fill it".to_owned(),
        Some(huge) => format!("huge pages fill {huge} of it at most"),
        None => "whether huge pages fill it is not known".to_owned(),
    };
    holding
        .missing
        .push(format!("what {untold} are: its figures cover {covered:.0} % of its memory; {rest}"));
}

/// The finding on memory that the figures do not cover.
pub(super) fn finding(holding: &Holding) -> Option<Finding> {
    let Holding { allocator, resident_bytes, .. } = holding;
    let (untold, allocated) = (holding.untold_bytes?, holding.allocated_bytes?);
    if holding.is_covered() || untold.0 < LARGE {
        return None;
    }
    let fact = |what: String, bytes: Bytes, grade| Fact { what, value: bytes.to_string(), grade };
    let mut evidence = vec![
        fact(format!("resident in {allocator}"), *resident_bytes, Grade::Measured),
        fact("in use by the program".to_owned(), allocated, holding.grade),
        fact("in none of its figures".to_owned(), untold, Grade::Inferred),
    ];
    let fill = holding.huge_fill_bytes.filter(|fill| fill.0 as f64 >= FILLED * untold.0 as f64);
    let (confidence, sentence, remedies) = if let Some(fill) = fill {
        evidence.push(fact("of that in huge pages, at most".to_owned(), fill, Grade::Read));
        let sentence = format!(
            "huge pages hold {untold} of {resident_bytes} in {allocator} that the program does not use: they fill the \
             gaps around {allocated} in use"
        );
        let text = "switch huge pages off for this program with prctl(PR_SET_THP_DISABLE), or on the node with \
                    /sys/kernel/mm/transparent_hugepage/enabled: madvise, and restart it";
        (Confidence::Medium, sentence, vec![Remedy { text: text.to_owned(), setting: None }])
    } else if holding.coverage()? < HALF && untold.0 >= VERY_LARGE {
        let sentence = format!(
            "{untold} of {resident_bytes} in {allocator}'s ranges are in none of its figures: another allocator may \
             live there, or a runtime with one of its own"
        );
        (Confidence::Low, sentence, Vec::new())
    } else {
        return None;
    };
    Some(Finding { kind: Kind::Coverage, confidence, sentence, evidence, remedies })
}
