//! Backtest: what would have happened at the advised limits.
//!
//! [`Day`]s -> for memtrace's formula, VPA's and KRR's: kills and slack. Pure. Walk-forward: the limit of a day is made of
//! the days before it, at least [`TRAINED`]. A day on which the workload needed more than its limit is a kill. Slack is
//! the part of a day's limit that was not needed at the highest point of all judged days, page cache included.

use serde::Serialize;

use super::{
    advise::Terms,
    days::Day,
    growth::growth,
    others::{self, Scraped},
};
use crate::units::Bytes;

/// Days before the first one that is judged: a week, and a day of the next one.
pub const TRAINED: usize = 8;

/// Whose formula.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// P + C + m.
    Memtrace,
    /// The Vertical Pod Autoscaler's target.
    Vpa,
    /// Robusta's KRR, strategy `simple`.
    Krr,
}

impl Policy {
    /// All, in the order of tables.
    pub const ALL: [Self; 3] = [Self::Memtrace, Self::Vpa, Self::Krr];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memtrace => "memtrace",
            Self::Vpa => "VPA",
            Self::Krr => "KRR",
        }
    }
}

/// How a formula did.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Whose.
    pub policy: Policy,
    /// Days on which its limit would have killed.
    pub kills: u32,
    /// Days with a limit.
    pub days: u32,
    /// Days without one: growth without end, or too little data.
    pub days_without: u32,
    /// Mean slack of its limits, 0 to 1; `None` without limits.
    pub slack: Option<f64>,
}

/// The outcomes on one workload.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Backtest {
    /// The workload.
    pub workload: String,
    /// Days that were judged.
    pub days: u32,
    /// Whether a limit was reached in these days, so that what was needed is a lower bound.
    pub is_lower_bound: bool,
    /// One for each formula.
    pub outcomes: [Outcome; Policy::ALL.len()],
}

/// Tests the formulas on days; `None` when there are too few.
pub fn backtest(workload: String, days: &[Day]) -> Option<Backtest> {
    let judged = days.get(TRAINED..).filter(|judged| !judged.is_empty())?;
    let highest = judged.iter().filter_map(Day::need).max()?;
    let cache = Terms::of(days).and_then(|terms| terms.cache).map_or(0, |cache| cache.high_bytes.0);
    let needed = highest.0.saturating_add(cache);
    Some(Backtest {
        workload,
        days: u32::try_from(judged.len()).unwrap_or(u32::MAX),
        is_lower_bound: judged.iter().any(|day| day.reached.is_some()),
        outcomes: Policy::ALL.map(|policy| outcome(policy, days, needed)),
    })
}

fn outcome(policy: Policy, days: &[Day], needed: u64) -> Outcome {
    let mut scraped: Vec<Scraped> = days.iter().take(TRAINED).map(|day| seen(day, None)).collect();
    let (mut kills, mut with, mut without, mut slack) = (0, 0, 0, 0.0);
    for (index, day) in days.iter().enumerate().skip(TRAINED) {
        let before = days.get(..index).unwrap_or_default();
        let limit = match policy {
            Policy::Memtrace => own(before),
            Policy::Vpa => others::vpa(&scraped),
            Policy::Krr => others::krr(&scraped),
        };
        let killed = limit.filter(|limit| day.need() > Some(*limit));
        scraped.push(seen(day, killed));
        let Some(limit) = limit else {
            without += 1;
            continue;
        };
        with += 1;
        kills += u32::from(killed.is_some());
        slack += (1.0 - needed as f64 / limit.0.max(1) as f64).max(0.0);
    }
    Outcome {
        policy,
        kills,
        days: with,
        days_without: without,
        slack: (with > 0).then(|| slack / f64::from(with)),
    }
}

/// The advised limit, if there is one.
fn own(days: &[Day]) -> Option<Bytes> {
    let terms = Terms::of(days)?;
    growth(days).is_none().then(|| terms.limit())
}

/// A day as a scraper sees it; one that was killed used its limit and no more.
fn seen(day: &Day, killed: Option<Bytes>) -> Scraped {
    let seen = day.scraped;
    Scraped { working_set: killed.map_or(seen, |limit| seen.map(|seen| seen.min(limit))), killed_at: killed }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Day, TRAINED, backtest};
    use crate::sizing::days::ROWS;

    const MIB: u64 = 1 << 20;

    fn day(number: u32, peak: u64, scraped: u64) -> Day {
        let mib = |mib: u64| Some(Bytes(mib * MIB));
        Day {
            number,
            rows: ROWS,
            peak: mib(peak),
            scraped: mib(scraped),
            hours: [mib(400); 24],
            ..Day::default()
        }
    }

    #[test]
    fn a_peak_that_scrapers_miss_kills_at_their_limits() {
        let days: Vec<Day> = (0..20).map(|number| day(number, 1000, 500)).collect();
        let test = backtest("a".into(), &days).unwrap();
        let [own, vpa, krr] = test.outcomes;
        assert_eq!((test.days, own.kills, own.days), (12, 0, 12));
        assert!((0.015..0.025).contains(&own.slack.unwrap()), "{own:?}");
        assert!(vpa.kills > 0 && krr.kills > 0, "{vpa:?} {krr:?}");
        assert!(krr.kills < 12, "it learns from kills: {krr:?}");
    }

    #[test]
    fn too_few_days_are_not_judged() {
        let days: Vec<Day> = (0..TRAINED as u32).map(|number| day(number, 1000, 500)).collect();
        assert_eq!(backtest("a".into(), &days), None);
    }
}
