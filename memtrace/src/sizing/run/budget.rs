//! A memory budget: what a command may use, and whether it kept it.
//!
//! `peak=SIZE,growth=RATE,leak=none` and runs -> one [`Judged`] each. What could not be seen is unknown with its reason,
//! and not kept.

use serde::{Deserialize, Serialize};

use super::{Run, amount};
use crate::{units::Bytes, verdict};

/// What is allowed; `None` for what is not asked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Budget {
    /// The highest charge.
    pub peak: Option<Bytes>,
    /// Growth after the start, in bytes a second.
    pub growth: Option<f64>,
    /// No leak.
    pub no_leak: bool,
}

/// One part of a budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// `peak`, `growth` or `leak`.
    pub what: String,
    /// What is allowed, as people read it.
    pub allowed: String,
    /// What was seen; `None` when that is unknown.
    pub seen: Option<String>,
    /// The judgement.
    pub state: State,
    /// Why it is unknown, or which run broke it.
    pub why: Option<String>,
}

/// Whether a budget was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was kept.
    Kept,
    /// Too little is known.
    Unknown,
    /// It was broken.
    Broken,
}

impl Budget {
    /// Parses `peak=512M,growth=1M/h,leak=none`.
    ///
    /// # Errors
    /// What is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut budget = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("peak", value)) => budget.peak = Some(amount::size(value)?),
                Some(("growth", value)) => budget.growth = Some(amount::rate(value)?),
                Some(("leak", "none")) => budget.no_leak = true,
                Some(("leak", _)) => return Err("leak can only be none".to_owned()),
                _ => return Err(format!("{part:?} is no budget: use peak=SIZE, growth=RATE or leak=none")),
            }
        }
        if budget == Self::default() {
            return Err("no budget: use peak=SIZE, growth=RATE or leak=none".to_owned());
        }
        Ok(budget)
    }

    /// Judges all runs; the worst one counts.
    pub fn judge(&self, runs: &[Run]) -> Vec<Judged> {
        let checks = [
            self.peak.map(|allowed| worst(runs, |run| peak(run, allowed))),
            self.growth.map(|allowed| worst(runs, |run| growth(run, allowed))),
            self.no_leak.then(|| worst(runs, leak)),
        ];
        checks.into_iter().flatten().flatten().collect()
    }
}

/// Whether a part of a budget was broken.
pub fn is_broken(judged: &[Judged]) -> bool {
    judged.iter().any(|one| one.state == State::Broken)
}

fn worst(runs: &[Run], judge: impl Fn(&Run) -> Judged) -> Option<Judged> {
    let mut all = runs.iter().map(judge).enumerate();
    let mut worst = all.next()?;
    for next in all {
        if next.1.state > worst.1.state {
            worst = next;
        }
    }
    let (index, mut judged) = worst;
    if runs.len() > 1 && judged.state != State::Kept {
        let run = format!("run {} of {}", index + 1, runs.len());
        judged.why = Some(judged.why.map_or_else(|| run.clone(), |why| format!("{run}: {why}")));
    }
    Some(judged)
}

fn judged(what: &str, allowed: String, seen: Result<(String, bool), String>) -> Judged {
    let (what, (seen, state, why)) = (
        what.to_owned(),
        match seen {
            Ok((seen, true)) => (Some(seen), State::Kept, None),
            Ok((seen, false)) => (Some(seen), State::Broken, None),
            Err(why) => (None, State::Unknown, Some(why)),
        },
    );
    Judged { what, allowed, seen, state, why }
}

fn peak(run: &Run, allowed: Bytes) -> Judged {
    let seen = run.peak.ok_or_else(|| "the charge could not be read".to_owned());
    let seen = seen.map(|peak| (exact(peak.bytes, allowed), peak.bytes <= allowed));
    judged("peak", format!("at most {allowed}"), seen)
}

/// A figure as people read it; in bytes where it would read like the allowed one and is not.
fn exact(bytes: Bytes, allowed: Bytes) -> String {
    if bytes != allowed && bytes.to_string() == allowed.to_string() {
        return format!("{} bytes, {} allowed", bytes.0, allowed.0);
    }
    bytes.to_string()
}

fn growth(run: &Run, allowed: f64) -> Judged {
    let seen = run.course.growth().map(|rate| (verdict::rate(rate), rate <= allowed));
    judged("growth", format!("at most {}", verdict::rate(allowed)), seen)
}

fn leak(run: &Run) -> Judged {
    let seen = match (&run.course.leak, &run.course.no_leak_verdict) {
        (Some(leak), _) => Ok((leak.clone(), false)),
        (None, Some(why)) => Err(why.clone()),
        (None, None) => Ok(("none".to_owned(), true)),
    };
    judged("leak", "none".to_owned(), seen)
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::run, *};

    #[test]
    fn a_budget_is_a_list_of_what_is_allowed() {
        let budget = Budget::parse("peak=512M,growth=1M/s, leak=none").unwrap();
        let wanted = Budget { peak: Some(Bytes(512 << 20)), growth: Some(1_048_576.0), no_leak: true };
        assert_eq!(budget, wanted);
        for wrong in ["", "peak", "peak=x", "growth=1M", "leak=some", "rss=1M"] {
            assert!(Budget::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_peak_is_kept_up_to_the_last_byte() {
        let budget = Budget { peak: Some(Bytes(1 << 20)), ..Budget::default() };
        let state = |bytes| budget.judge(&[run(bytes)])[0].clone();
        assert_eq!(state(1 << 20).state, State::Kept);
        let over = state((1 << 20) + 1);
        assert_eq!(over.state, State::Broken);
        assert_eq!(over.seen.as_deref(), Some("1048577 bytes, 1048576 allowed"));
        let unknown = budget.judge(&[Run { peak: None, ..run(0) }]);
        assert_eq!(unknown[0].state, State::Unknown);
        assert!(!is_broken(&unknown), "what is not known is not broken");
    }

    #[test]
    fn the_worst_run_counts_and_is_named() {
        let budget = Budget { peak: Some(Bytes(10)), ..Budget::default() };
        let judged = budget.judge(&[run(5), run(11), run(7)]);
        assert_eq!((judged.len(), judged[0].state), (1, State::Broken));
        assert_eq!(judged[0].why.as_deref(), Some("run 2 of 3"));
        assert!(budget.judge(&[]).is_empty());
    }

    #[test]
    fn what_was_too_short_to_see_is_unknown_and_not_kept() {
        let budget = Budget::parse("growth=1M/h,leak=none").unwrap();
        let judged = budget.judge(&[run(5)]);
        assert!(judged.iter().all(|one| one.state == State::Unknown && one.why.is_some()), "{judged:?}");
    }
}
