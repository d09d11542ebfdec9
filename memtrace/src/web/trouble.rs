//! Which containers are in trouble, in words.
//!
//! Rows of a snapshot, insights, kills -> rows in the order of trouble. Pure. The thresholds are those of `memtrace top`;
//! a recent kill counts too.

use std::cmp::Reverse;

use crate::{
    snapshot::{ContainerRow, Snapshot, age},
    store::KillSummary,
    top::{
        format,
        rows::{State, state},
    },
    units::Bytes,
    verdict::{Confidence, Finding, Insight, Insights},
};

use super::kills;

/// Seconds for which a kill is trouble.
const RECENT: f64 = 3600.0;
/// Seconds for which it is an alarm.
const NEWS: f64 = 300.0;
/// The share of the limit in percent from which it is said.
const NEAR: u128 = 80;

/// A container as it is shown.
#[derive(Clone, Debug)]
pub(super) struct Case<'a> {
    pub(super) row: &'a ContainerRow,
    pub(super) insight: Option<&'a Insight>,
    pub(super) state: State,
    /// Usage in percent of the limit.
    pub(super) share: Option<u128>,
    /// Its last kill among the newest of the node.
    pub(super) kill: Option<&'a KillSummary>,
}

/// All containers, the one in most trouble first.
pub(super) fn cases<'a>(
    snapshot: &'a Snapshot,
    insights: &'a Insights,
    kills: &'a [KillSummary],
) -> Vec<Case<'a>> {
    let mut cases: Vec<Case<'_>> =
        snapshot.containers.iter().map(|row| case(row, snapshot, insights, kills)).collect();
    // Stable: the snapshot has the largest first.
    cases.sort_by_key(|case| Reverse((case.state, case.share)));
    cases
}

fn case<'a>(
    row: &'a ContainerRow,
    snapshot: &Snapshot,
    insights: &'a Insights,
    kills: &'a [KillSummary],
) -> Case<'a> {
    let insight = insights.get(&row.cgroup);
    let kill = kills.iter().find(|kill| kills::is_of(kill, row));
    let after_kill = match kill.map(|kill| age(snapshot.time, kill.time)) {
        Some(ago) if ago <= NEWS => State::Alarm,
        Some(ago) if ago <= RECENT => State::Warning,
        Some(_) | None => State::Calm,
    };
    let limit = row.limit.as_ref().map(|limit| limit.bytes);
    let share = row.usage_bytes.zip(limit).map(|(Bytes(used), Bytes(limit))| {
        (u128::from(used) * 100 + u128::from(limit) / 2) / u128::from(limit.max(1))
    });
    Case { row, insight, state: state(row, insight).max(after_kill), share, kill }
}

impl Case<'_> {
    /// What is wrong, the worst first; `nothing unusual` if nothing is.
    pub(super) fn words(&self) -> Vec<String> {
        let Self { row, insight, share, .. } = self;
        let mut words = Vec::new();
        let kills = insight.map_or(0, |insight| insight.kills);
        match kills {
            0 => {}
            1 => words.push("one OOM kill".to_owned()),
            kills => words.push(format!("{kills} OOM kills")),
        }
        if row.member_kills > 0 {
            words.push(format!("{} inside it while it kept running", format::count(row.member_kills)));
        }
        if let Some(left) = insight.and_then(|insight| insight.seconds_to_limit) {
            words.push(format!("reaches its limit in {} at this rate", format::duration(left)));
        }
        words.extend(share.filter(|share| *share >= NEAR).map(|share| format!("at {share} % of its limit")));
        let waiting = row.charge.as_ref().and_then(|charge| charge.pressure_some10);
        if let Some(waiting) = waiting.filter(|waiting| *waiting >= 0.1) {
            words.push(format!("waits for memory {:.0} % of the time", waiting * 100.0));
        }
        words.extend(insight.iter().flat_map(|insight| &insight.findings).take(2).map(said));
        if words.is_empty() {
            words.push("nothing unusual".to_owned());
        }
        words
    }
}

fn said(finding: &Finding) -> String {
    let doubt = match finding.confidence {
        Confidence::Low => "perhaps ",
        Confidence::Medium | Confidence::High => "",
    };
    format!("{doubt}{}: {}", finding.kind.name(), finding.sentence)
}
