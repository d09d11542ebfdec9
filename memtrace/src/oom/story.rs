//! Stories: the kills of one workload as one thing that happens again and again.
//!
//! Records -> [`Story`]s, the longest first. Pure. A container that restarts, and a pod that is replaced, stay the same
//! workload.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    cause::CauseKind,
    record::{OomRecord, circumstances::Point},
};
use crate::{
    container::{name::Name, workload},
    snapshot::stack,
    units::Bytes,
    verdict::trend::{self, Sample},
};

/// Ids of records in a story; the newest are kept.
const MOST_IDS: usize = 10;
/// The fewest kills of a story.
const FEWEST: usize = 2;

/// The kills of a workload.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Story {
    /// The workload: `namespace/name/container`, a unit, or a cgroup.
    pub workload: String,
    /// How many kills.
    pub kills: usize,
    /// The first.
    pub first: Timestamp,
    /// The last.
    pub last: Timestamp,
    /// The most frequent victim.
    pub victim: Common<String>,
    /// The most frequent cause.
    pub cause: Option<Common<CauseKind>>,
    /// The function of the program that touched most new memory, most frequently.
    pub grew_at: Option<Common<String>>,
    /// Seconds from the start of the victim to its kill: lowest, median, highest.
    pub age_seconds: Option<[f64; 3]>,
    /// Growth in the last minute before the kill, bytes per second: lowest, median, highest.
    pub bytes_per_second: Option<[f64; 3]>,
    /// The limit of the last kill.
    pub limit_bytes: Option<Bytes>,
    /// Seconds that twice that limit would last at the median rate.
    pub doubled_buys_seconds: Option<f64>,
    /// The newest records.
    pub ids: Vec<String>,
}

/// A value, and how many of the kills have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Common<T> {
    /// The value.
    pub value: T,
    /// How often.
    pub kills: usize,
}

/// The stories in these records, in any order. One kill is no story.
pub fn stories(records: &[OomRecord]) -> Vec<Story> {
    let mut workloads: BTreeMap<String, Vec<&OomRecord>> = BTreeMap::new();
    for record in records {
        workloads.entry(workload(record)).or_default().push(record);
    }
    let told = workloads.into_iter().filter(|(_, kills)| kills.len() >= FEWEST);
    let mut stories: Vec<Story> = told.filter_map(|(workload, kills)| story(workload, kills)).collect();
    stories.sort_by(|a, b| (b.kills, b.last, &a.workload).cmp(&(a.kills, a.last, &b.workload)));
    stories
}

/// The workload of a victim: its labels, without what differs from one pod of a Deployment to the next.
pub fn workload(record: &OomRecord) -> String {
    workload_of(record.circumstances.container.as_ref(), record.victim.task.cgroup.as_deref())
}

/// The workload of a container, or of a cgroup without a name.
pub fn workload_of(name: Option<&Name>, cgroup: Option<&str>) -> String {
    workload::label(name, cgroup)
}

fn story(workload: String, mut kills: Vec<&OomRecord>) -> Option<Story> {
    kills.sort_by_key(|record| record.time);
    let (first, last) = (kills.first()?.time, *kills.last()?);
    let rates = kills.iter().filter_map(|record| rate(&record.circumstances.timeline));
    let bytes_per_second = spread(rates.collect());
    let limit_bytes = last.limit_owner.as_ref().and_then(|owner| owner.limit_bytes);
    let median = bytes_per_second.map(|[_, median, _]| median).filter(|median| *median > 0.0);
    let comm = |record: &&OomRecord| {
        let task = &record.victim.task;
        Some(task.process_comm.as_ref().unwrap_or(&task.comm).clone())
    };
    Some(Story {
        workload,
        kills: kills.len(),
        first,
        last: last.time,
        victim: common(kills.iter().map(comm))?,
        cause: common(kills.iter().map(|record| Some(record.circumstances.cause.as_ref()?.kind))),
        grew_at: common(kills.iter().map(|record| {
            let told = stack::told(&record.circumstances.victim_memory.as_ref()?.growth_stacks)?;
            told.stack.own_frame()?.symbol.clone()
        })),
        age_seconds: spread(kills.iter().filter_map(|record| age(record)).collect()),
        doubled_buys_seconds: limit_bytes.zip(median).map(|(limit, median)| limit.0 as f64 / median),
        bytes_per_second,
        limit_bytes,
        ids: kills.iter().rev().take(MOST_IDS).map(|record| record.id.clone()).collect(),
    })
}

fn age(record: &OomRecord) -> Option<f64> {
    Some(record.time.duration_since(record.victim.task.started?).as_secs_f64().max(0.0))
}

/// The robust growth of firm memory in the last minute.
fn rate(timeline: &[Point]) -> Option<f64> {
    let recent = timeline.iter().filter(|point| point.seconds_before <= 60.0 && point.seconds_before > 0.0);
    let samples: Vec<Sample> = recent
        .filter_map(|point| Some(Sample { at: -point.seconds_before, value: point.firm()?.0 as f64 }))
        .collect();
    trend::slope(trend::since_restart(&samples, None))
}

/// The most frequent value; of equally frequent ones the first in order.
fn common<T: Ord + Clone>(values: impl Iterator<Item = Option<T>>) -> Option<Common<T>> {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    values.flatten().for_each(|value| *counts.entry(value).or_default() += 1);
    let (value, kills) = counts.into_iter().rev().max_by_key(|(_, count)| *count)?;
    Some(Common { value, kills })
}

/// Lowest, median, highest.
fn spread(mut values: Vec<f64>) -> Option<[f64; 3]> {
    let median = trend::median(&mut values)?;
    let (low, high) =
        values.iter().fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(*value), high.max(*value)));
    Some([low, median, high])
}

#[cfg(test)]
#[path = "story_tests.rs"]
mod tests;
