//! Request and limit of a workload, from its days.
//!
//! [`Day`]s -> [`Terms`] -> [`Advice`]: numbers with their grades, a lower bound, a date, or why there is none. Pure.
//!
//! limit = P + C + m, and never below the start-up; request = median of the days' peaks + C. P: highest unreclaimable
//! memory. C: page cache that the workload needs. m: what its days and seconds differ by.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{
    days::{Day, ROWS},
    growth::{DEVIATIONS, Growth, LEAST, deviation, growth},
};
use crate::{
    container::workload::Workload,
    units::{Bytes, Grade},
    verdict::{Confidence, trend},
};

/// The least margin of a start-up, as a share of it: few are seen.
const LEAST_OF_START: f64 = 0.05;
/// Days from which the confidence is medium, and high.
const SURE: (usize, usize) = (7, 14);
/// Free memory of allocators that is a term, in bytes.
const MUCH: u64 = 16 << 20;
/// Advised sizes are whole multiples of this.
const UNIT: u64 = 1 << 20;

/// A figure and how it was determined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Figure {
    /// The figure.
    pub bytes: Bytes,
    /// Its grade.
    pub grade: Grade,
}

/// What the margin comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MarginFrom {
    /// The peaks of the days differ.
    Days,
    /// One day was so far above all others.
    Highest,
    /// Memory rose by this much within one second, twice.
    Rise,
    /// The least margin.
    Least,
}

/// Page cache that the workload needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cache {
    /// At least.
    pub low_bytes: Bytes,
    /// At most; this is in the numbers.
    pub high_bytes: Bytes,
    /// `read` where a limit bound and the workload did not wait; else `inferred` from active page cache.
    pub grade: Grade,
}

/// Memory that an allocator keeps free at the peak.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Slack {
    /// The allocator.
    pub allocator: String,
    /// Free and resident: so much less, at most, with the setting.
    pub bytes: Bytes,
    /// The setting, if one is known.
    pub setting: Option<String>,
}

/// The terms of the formulas.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Terms {
    /// P: highest unreclaimable memory, start-up apart.
    pub peak: Figure,
    /// The day of the peak, since 1970.
    #[serde(skip)]
    pub peak_day: u32,
    /// The limit that was reached: the true peak may be higher.
    pub reached_bytes: Option<Bytes>,
    /// m.
    pub margin: Figure,
    /// Where m comes from.
    pub margin_from: MarginFrom,
    /// C; `None` when nothing is known of page cache.
    pub cache: Option<Cache>,
    /// Median of the days' peaks.
    pub median: Figure,
    /// The highest during start-up, and its own margin.
    pub start: Option<Figure>,
    /// S, by allocator.
    pub slack: Vec<Slack>,
}

/// Growth without end, and when it reaches the limit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Growing {
    /// The growth.
    #[serde(flatten)]
    pub growth: Growth,
    /// When unreclaimable memory reaches the present limit, if there is one.
    pub limit_reached_at: Option<Timestamp>,
}

/// Advice on one workload.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Advice {
    /// `namespace/owner/container`, a unit, or a cgroup.
    pub workload: String,
    /// Its parts.
    #[serde(flatten)]
    pub of: Workload,
    /// Days of history, in whole rows.
    pub days: f64,
    /// Since when.
    pub since: Timestamp,
    /// OOM kills in them.
    pub kills: u32,
    /// The present limit.
    pub limit_now_bytes: Option<Bytes>,
    /// The advised request.
    pub request_bytes: Option<Bytes>,
    /// The advised limit.
    pub limit_bytes: Option<Bytes>,
    /// Whether these are lower bounds: the present limit was reached, so the true peak is not known.
    pub is_lower_bound: bool,
    /// How sure; `None` without numbers.
    pub confidence: Option<Confidence>,
    /// Set when it grows without end; there are no numbers then.
    pub grows: Option<Growing>,
    /// The terms.
    pub terms: Option<Terms>,
    /// The one reason, in words.
    pub reason: String,
}

impl Terms {
    /// From the days; `None` with less than a day of rows.
    pub fn of(days: &[Day]) -> Option<Self> {
        if days.iter().map(|day| day.rows).sum::<u32>() < ROWS {
            return None;
        }
        let highest = days.iter().filter(|day| day.peak.is_some()).max_by_key(|day| day.peak)?;
        let reached = days.iter().filter_map(|day| day.reached).max();
        let peak = highest.peak?.max(reached.unwrap_or_default());
        let aged = days.iter().map(|day| day.aged).sum::<u32>()
            > days.iter().map(|day| day.readings).sum::<u32>() / 2;
        let grade = match (highest.is_crest, aged) {
            (true, _) => Grade::Sampled,
            (false, true) => Grade::Inferred,
            (false, false) => Grade::Read,
        };
        let mut peaks = typical(days, |day| day.peak);
        let median = trend::median(&mut peaks)?;
        let (margin, margin_from) = margin(peak, deviation(&peaks, median), days);
        Some(Self {
            peak: Figure { bytes: peak, grade },
            peak_day: highest.number,
            reached_bytes: reached,
            margin: Figure { bytes: margin, grade: Grade::Inferred },
            margin_from,
            cache: cache(days),
            median: Figure { bytes: Bytes(median as u64), grade },
            start: start(days),
            slack: slack(highest),
        })
    }

    /// The limit: P + C + m, and not less than the start-up.
    pub fn limit(&self) -> Bytes {
        let cache = self.cache.map_or(0, |cache| cache.high_bytes.0);
        let running = self.peak.bytes.0.saturating_add(cache).saturating_add(self.margin.bytes.0);
        whole(running.max(self.start.map_or(0, |start| start.bytes.0)))
    }

    /// The request: the median of the days' peaks, and C.
    pub fn request(&self) -> Bytes {
        let cache = self.cache.map_or(0, |cache| cache.high_bytes.0);
        whole(self.median.bytes.0.saturating_add(cache)).min(self.limit())
    }

    /// Whether the start-up decides the limit.
    pub fn is_start(&self) -> bool {
        self.start.is_some_and(|start| whole(start.bytes.0) == self.limit())
            && self.peak.bytes.0 + self.margin.bytes.0 < self.start.map_or(0, |start| start.bytes.0)
    }
}

/// Values of whole days; of parts of days if there are no others.
fn typical(days: &[Day], value: impl Fn(&Day) -> Option<Bytes>) -> Vec<f64> {
    let values = |is_taken: fn(&Day) -> bool| {
        let taken = days.iter().filter(|day| is_taken(day));
        taken.filter_map(&value).map(|Bytes(bytes)| bytes as f64).collect::<Vec<_>>()
    };
    let whole = values(Day::is_half);
    if whole.is_empty() { values(|_| true) } else { whole }
}

/// m = max(4.4 MAD of the days' peaks, the highest of them less the second, the largest rise in a second that was seen
/// twice, 2 % of P).
fn margin(peak: Bytes, deviation: f64, days: &[Day]) -> (Bytes, MarginFrom) {
    let mut rises: Vec<Bytes> = days.iter().flat_map(|day| day.rises).flatten().collect();
    rises.sort_unstable_by(|a, b| b.cmp(a));
    let mut peaks: Vec<Bytes> = days.iter().filter_map(|day| day.peak).collect();
    peaks.sort_unstable_by(|a, b| b.cmp(a));
    // The usual estimate of the end of a range whose highest values were seen.
    let above = match *peaks {
        [highest, second, ..] => Bytes(highest.0 - second.0),
        _ => Bytes(0),
    };
    let all = [
        (Bytes((DEVIATIONS * deviation) as u64), MarginFrom::Days),
        (above, MarginFrom::Highest),
        (rises.get(1).copied().unwrap_or_default(), MarginFrom::Rise),
        (Bytes((LEAST * peak.0 as f64) as u64), MarginFrom::Least),
    ];
    all.into_iter().max_by_key(|(bytes, _)| *bytes).unwrap_or((Bytes(0), MarginFrom::Least))
}

fn cache(days: &[Day]) -> Option<Cache> {
    let low = days.iter().filter_map(|day| Some(day.active_cache?.0)).min();
    let mut middles = typical(days, |day| Some(day.active_cache?.1));
    let active = trend::median(&mut middles).map(|middle| Bytes(middle as u64));
    let calm = days.iter().filter_map(|day| day.calm_cache).min();
    let pressed = days.iter().filter_map(|day| day.pressed_cache).max();
    let is_enough = |bytes: &Bytes| pressed.is_none_or(|pressed| pressed < *bytes);
    match calm.filter(is_enough) {
        // With more than what is used again and again, a limit tells nothing about the least.
        Some(calm) if active.is_none_or(|active| calm <= active) => {
            Some(Cache { low_bytes: pressed.unwrap_or(calm).min(calm), high_bytes: calm, grade: Grade::Read })
        }
        _ => {
            let high = active?.max(pressed.unwrap_or_default());
            let low_bytes = low.unwrap_or_default().max(pressed.unwrap_or_default()).min(high);
            Some(Cache { low_bytes, high_bytes: high, grade: Grade::Inferred })
        }
    }
}

/// The highest start-up, and what start-ups differ by.
fn start(days: &[Day]) -> Option<Figure> {
    let mut starts: Vec<f64> = days.iter().filter_map(|day| day.start).map(|bytes| bytes.0 as f64).collect();
    let highest = starts.iter().copied().fold(0.0, f64::max);
    let median = trend::median(&mut starts)?;
    let margin = (DEVIATIONS * deviation(&starts, median)).max(LEAST_OF_START * highest);
    Some(Figure { bytes: Bytes((highest + margin) as u64), grade: Grade::Read })
}

fn slack(day: &Day) -> Vec<Slack> {
    let much = day.arenas.iter().filter_map(|arena| {
        let bytes = arena.free.filter(|free| free.0 >= MUCH)?;
        Some(Slack { allocator: arena.allocator.clone(), bytes, setting: arena.setting.clone() })
    });
    much.collect()
}

/// Whole units, rounded up.
fn whole(bytes: u64) -> Bytes {
    Bytes(bytes.div_ceil(UNIT).saturating_mul(UNIT))
}

/// Advice on a workload at `now`.
pub fn advise(workload: &Workload, days: &[Day], now: Timestamp) -> Advice {
    let rows: u32 = days.iter().map(|day| day.rows).sum();
    let begin = days.first().map_or(0, |day| i64::from(day.number) * 86_400);
    let terms = Terms::of(days);
    let limit_now = days.iter().rev().find_map(|day| day.limit);
    let mut advice = Advice {
        workload: workload.label(),
        of: workload.clone(),
        days: (f64::from(rows) / f64::from(ROWS) * 10.0).round() / 10.0,
        since: Timestamp::from_second(begin).unwrap_or_default(),
        kills: days.iter().map(|day| day.kills).sum(),
        limit_now_bytes: limit_now,
        request_bytes: None,
        limit_bytes: None,
        is_lower_bound: false,
        confidence: None,
        grows: None,
        terms: None,
        reason: String::new(),
    };
    let Some(terms) = terms else {
        let hours = f64::from(rows) * 24.0 / f64::from(ROWS);
        advice.reason = format!("{hours:.1} h of history: advice needs 24 h");
        return advice;
    };
    match growth(days) {
        Some(growth) => {
            let room = limit_now.map(|limit| limit.0.saturating_sub(newest_peak(days).0));
            let days_left = room.map(|room| room as f64 / growth.bytes_per_day.0.max(1) as f64);
            let at = days_left.and_then(|days| {
                now.checked_add(SignedDuration::from_secs((days * 86_400.0).min(1e10) as i64)).ok()
            });
            advice.reason = growing(&growth, limit_now.zip(at));
            advice.grows = Some(Growing { growth, limit_reached_at: at });
        }
        None => {
            advice.request_bytes = Some(terms.request());
            advice.limit_bytes = Some(terms.limit());
            advice.is_lower_bound = terms.reached_bytes.is_some();
            advice.confidence = Some(confidence(days, &terms));
            advice.reason = reason(&terms);
        }
    }
    advice.terms = Some(terms);
    advice
}

/// The peak of the last day.
fn newest_peak(days: &[Day]) -> Bytes {
    days.iter().rev().find_map(|day| day.peak).unwrap_or_default()
}

fn growing(growth: &Growth, limit: Option<(Bytes, Timestamp)>) -> String {
    let Growth { bytes_per_day, days, .. } = growth;
    let when = limit.map_or_else(String::new, |(limit, at)| {
        format!("; it reaches its limit of {limit} on {}", at.strftime("%Y-%m-%d"))
    });
    format!("grows by {bytes_per_day} a day over the last {days} days, so no size fits{when}")
}

fn confidence(days: &[Day], terms: &Terms) -> Confidence {
    let whole = days.iter().filter(|day| day.is_half()).count();
    if terms.reached_bytes.is_some() || whole < SURE.0 {
        return Confidence::Low;
    }
    // An inferred page cache that is a large part of the number.
    let doubt =
        terms.cache.filter(|cache| cache.grade == Grade::Inferred).map_or(0, |cache| cache.high_bytes.0);
    let is_start_unknown = terms.start.is_none();
    if is_start_unknown || whole < SURE.1 || doubt * 4 > terms.limit().0 {
        Confidence::Medium
    } else {
        Confidence::High
    }
}

/// The one reason: what decides the limit.
fn reason(terms: &Terms) -> String {
    let Terms { peak, margin, margin_from, cache, .. } = terms;
    if let Some(reached) = terms.reached_bytes {
        return format!(
            "the limit of {reached} was reached, so the true peak is hidden: a lower bound; \
             `memtrace run --find-limit` finds the least that works"
        );
    }
    if let Some(start) = terms.start.filter(|_| terms.is_start()) {
        return format!("start-up takes {}, more than the peak afterwards ({})", start.bytes, peak.bytes);
    }
    let day = Timestamp::from_second(i64::from(terms.peak_day) * 86_400).unwrap_or_default();
    let cache = cache
        .filter(|cache| cache.high_bytes.0 > 0)
        .map_or_else(String::new, |cache| format!(" + {} page cache ({})", cache.high_bytes, cache.grade));
    let from = match margin_from {
        MarginFrom::Days => "its days differ",
        MarginFrom::Highest => "that day is so far above the others",
        MarginFrom::Rise => "it rises so fast",
        MarginFrom::Least => "2 %",
    };
    let start = if terms.start.is_none() { "; no start-up was seen" } else { "" };
    format!("peak {} on {}{cache} + {} ({from}){start}", peak.bytes, day.strftime("%m-%d"), margin.bytes)
}

#[cfg(test)]
#[path = "advise_tests.rs"]
mod tests;
