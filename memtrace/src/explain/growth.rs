//! How a target grows: its rate, the time that is left, and the call stacks that touch new memory.
//!
//! A subject, its snapshot and insights -> [`Growth`]. Pure.

use jiff::Timestamp;

use super::{Grown, Growth, SinceStart, Subject};
use crate::{
    cgroup::memcg::Limit,
    snapshot::{ContainerRow, ProcessRow, Snapshot},
    units::Bytes,
    verdict::{Finding, Insights, growth},
};

/// The most stacks on a page.
const MOST: usize = 5;
/// Of a stack's figures, the one over a minute.
const MINUTE: usize = 1;
/// Older processes have a rate, or are not watched; in seconds.
const YOUNG: f64 = 15.0;
/// An age is known to a hundredth of a second.
const SHORTEST: f64 = 0.01;

/// How it grows, and the finding on it.
pub(super) fn growth<'a>(
    snapshot: &'a Snapshot,
    insights: Option<&Insights>,
    subject: &Subject<'a>,
) -> (Option<Growth>, Option<Finding>) {
    let members = subject.members(snapshot);
    let of_row = |row: &'a ContainerRow| Some((of_group(row, insights, &members)?, row.limit.as_ref()));
    let ended = ended(insights, subject);
    let rates: Vec<(f64, Option<&Limit>)> = match subject {
        Subject::Process(row) => {
            // Its own rate is over ten seconds, of which the last may have been quiet.
            let rate = if ended.is_some() { Some(0.0) } else { row.growth_bytes_per_second };
            rate.map(|rate| (rate, row.limit.as_ref())).into_iter().collect()
        }
        Subject::Container(row) => of_row(row).into_iter().collect(),
        Subject::Pod(_, rows) => rows.iter().copied().filter_map(of_row).collect(),
    };
    let Some(bytes_per_second) = rates.iter().map(|(rate, _)| *rate).reduce(|sum, rate| sum + rate) else {
        // No finding: the mean of a start says nothing about what follows.
        return (since_start(snapshot.time, &members), None);
    };
    // The container of a pod that is nearest to its limit.
    let ends = rates.into_iter().filter_map(|(rate, limit)| {
        let limit = limit?;
        let owner = snapshot.containers.iter().find(|row| row.cgroup == limit.owner)?;
        let room = Bytes(limit.bytes.0.saturating_sub(owner.firm().or(owner.usage_bytes)?.0));
        Some((room.0 as f64 / rate, growth::finding(rate, room, limit.bytes)?))
    });
    let soonest = ends.min_by(|(one, _), (other, _)| one.total_cmp(other));
    let (seconds_to_limit, finding) = soonest.unzip();
    let growth =
        Growth { bytes_per_second, seconds_to_limit, ended, since_start: None, stacks: stacks(&members) };
    (Some(growth), finding)
}

/// The growth of processes that were seen for the first time just now, all of which are young.
fn since_start(now: Timestamp, members: &[&ProcessRow]) -> Option<Growth> {
    let age = |row: &ProcessRow| Some(now.duration_since(row.started?).as_secs_f64());
    let ages: Option<Vec<f64>> = members.iter().map(|row| age(row)).collect();
    let seconds = ages?.into_iter().reduce(f64::max).filter(|age| (0.0..=YOUNG).contains(age))?;
    let resident: Option<Vec<u64>> = members.iter().map(|row| Some(row.rss_bytes?.0)).collect();
    let bytes = resident?.into_iter().fold(0, u64::saturating_add);
    Some(Growth {
        bytes_per_second: bytes as f64 / seconds.max(SHORTEST),
        seconds_to_limit: None,
        ended: None,
        since_start: Some(SinceStart { bytes: Bytes(bytes), seconds }),
        stacks: stacks(members),
    })
}

/// The growth of its group that has ended; of several groups that are followed the last, once none grows.
fn ended(insights: Option<&Insights>, subject: &Subject<'_>) -> Option<growth::Ended> {
    let insights = insights?;
    match subject {
        Subject::Process(row) => insights.get(row.cgroup.as_deref()?)?.grew,
        Subject::Container(row) => insights.get(&row.cgroup)?.grew,
        Subject::Pod(_, rows) => {
            let followed = rows.iter().filter_map(|row| insights.get(&row.cgroup));
            let all: Option<Vec<_>> = followed.map(|insight| insight.grew).collect();
            all?.into_iter().min_by(|one, other| one.seconds_ago.total_cmp(&other.seconds_ago))
        }
    }
}

/// The robust rate of history, else the sum of the processes' own.
fn of_group(row: &ContainerRow, insights: Option<&Insights>, members: &[&ProcessRow]) -> Option<f64> {
    let told = insights.and_then(|insights| insights.get(&row.cgroup)?.growth_bytes_per_second);
    let own = members.iter().filter(|member| member.cgroup.as_ref() == Some(&row.cgroup));
    told.or_else(|| own.filter_map(|member| member.growth_bytes_per_second).reduce(|sum, rate| sum + rate))
}

fn stacks(members: &[&ProcessRow]) -> Vec<Grown> {
    let of = |row: &&ProcessRow| {
        let stacks = row.memory.iter().flat_map(|memory| &memory.growth_stacks).cloned();
        let (pid, comm) = (row.pid, row.comm.clone());
        stacks.map(move |stack| Grown { pid, comm: comm.clone(), stack }).collect::<Vec<_>>()
    };
    let mut all: Vec<Grown> = members.iter().flat_map(of).collect();
    all.retain(|grown| grown.stack.bytes.get(MINUTE).is_some_and(|bytes| bytes.0 > 0));
    all.sort_by_key(|grown| std::cmp::Reverse(grown.stack.bytes.get(MINUTE).copied()));
    all.truncate(MOST);
    all
}
