//! Usage over the last two minutes as seen by this view, to fill gaps of the daemon's history.
//!
//! Updates -> their insights, completed. Fixed memory for each container; must not replace values of history.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use jiff::Timestamp;

use crate::{api::v1::Update, units::Bytes, verdict::Insights};

/// Readings kept: two minutes, at one a second.
const READINGS: usize = 120;
/// The longest time over which growth is computed, in seconds.
const WINDOW: f64 = 10.0;
/// The shortest such time, in seconds.
const LEAST: f64 = 2.0;

/// Usage by cgroup.
#[derive(Clone, Debug, Default)]
pub struct Trends {
    seen: HashMap<String, VecDeque<(Timestamp, Bytes)>>,
}

impl Trends {
    /// Takes an update, and returns its insights with gaps filled from earlier updates.
    pub fn complete(&mut self, update: &Update) -> Arc<Insights> {
        let snapshot = &update.snapshot;
        let knows =
            |cgroup: &str| update.insights.get(cgroup).is_some_and(|known| known.trend_bytes.len() > 1);
        let unknown: Vec<_> = snapshot.containers.iter().filter(|row| !knows(&row.cgroup)).collect();
        if unknown.is_empty() {
            self.seen.clear();
            return Arc::clone(&update.insights);
        }
        let missing: HashSet<&str> = unknown.iter().map(|row| row.cgroup.as_str()).collect();
        self.seen.retain(|cgroup, _| missing.contains(cgroup.as_str()));
        let mut insights = (*update.insights).clone();
        for row in unknown {
            let Some(usage) = row.usage_bytes else { continue };
            let seen = self.seen.entry(row.cgroup.clone()).or_default();
            seen.push_back((snapshot.time, usage));
            if seen.len() > READINGS {
                seen.pop_front();
            }
            let insight = insights.entry(row.cgroup.clone()).or_default();
            insight.trend_bytes = seen.iter().map(|(_, usage)| Some(*usage)).collect();
            if insight.growth_bytes_per_second.is_none() {
                insight.growth_bytes_per_second = growth(seen);
            }
        }
        Arc::new(insights)
    }
}

/// Change per second over the last seconds.
fn growth(seen: &VecDeque<(Timestamp, Bytes)>) -> Option<f64> {
    let (now, Bytes(usage)) = seen.back()?;
    let age = |time: &Timestamp| now.duration_since(*time).as_secs_f64();
    let (then, Bytes(before)) = seen.iter().find(|(time, _)| age(time) <= WINDOW)?;
    let seconds = age(then);
    (seconds >= LEAST).then(|| (*usage as f64 - *before as f64) / seconds)
}
