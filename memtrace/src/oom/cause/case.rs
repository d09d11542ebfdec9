//! A record as the rules use it: the numbers that several of them need.
//!
//! Input: an [`OomRecord`]. Output: figures, `None` if the record lacks them. Pure.

use std::collections::BTreeMap;

use crate::{
    cgroup::charge::Charge,
    oom::record::{
        OomRecord, TaskFacts,
        circumstances::{Point, ProcessAtKill},
    },
    snapshot::ArenaRow,
    units::{Bytes, Grade},
    verdict::{Confidence, Fact, trend::Sample},
};

/// Usage that varies by at most this part of the limit for [`SETTLED_FOR`] has settled.
const SETTLED_WITHIN: f64 = 0.05;
/// The time in seconds; the timeline has a point for each second unless the machine is too busy.
const SETTLED_FOR: f64 = 3.0;
/// The same where nothing was allocated yet.
const SETTLED_LOW_FOR: f64 = 10.0;
const SECOND: f64 = 1.0;
/// The fewest points in that time.
const FEWEST_SETTLED: usize = 3;
/// The start of a process in the timeline is known to within a second.
const START_SLACK: f64 = SECOND;
/// Page cache is worth a word from this part of the limit.
const MUCH_CACHE: f64 = 0.1;
/// Figures that were read longer before the kill are not those of the kill, in seconds.
const FRESH: f64 = 5.0;
/// The longest start-up, in seconds.
pub const LONGEST_START: f64 = 30.0;

pub struct Case<'a> {
    /// The record.
    pub record: &'a OomRecord,
    /// The limit that was hit.
    pub limit: Option<Bytes>,
    /// Usage of its owner at the kill.
    pub usage: Option<Bytes>,
    /// The part of it that the kernel could not reclaim.
    pub firm: Option<Bytes>,
}

/// The processes of one cgroup, summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Group {
    /// Resident.
    pub rss: u64,
    /// Growth, bytes a second.
    pub growth: f64,
}

impl<'a> Case<'a> {
    /// The case of a record.
    pub fn new(record: &'a OomRecord) -> Self {
        let owner = record.limit_owner.as_ref();
        let usage = owner.and_then(|owner| owner.usage_bytes);
        // The kernel kills when it can reclaim no more, so page cache of an earlier reading is gone by then.
        let composition = record.circumstances.composition.as_ref();
        let at_kill = composition.filter(|composition| composition.age_seconds == 0.0);
        let cache = at_kill.and_then(|composition| composition.charge.file()).unwrap_or_default();
        Self {
            record,
            limit: owner.and_then(|owner| owner.limit_bytes),
            usage,
            firm: usage.map(|usage| Bytes(usage.0.saturating_sub(cache.0))),
        }
    }

    /// The charge of the owner of the limit, by kind.
    pub fn charge(&self) -> Result<(&'a Charge, Grade), String> {
        let composition = self.record.circumstances.composition.as_ref();
        let composition = composition.ok_or("its memory by kind is unknown")?;
        Ok((&composition.charge, composition.grade))
    }

    /// Seconds between the reading of its memory by kind and the kill, if that is long enough to matter.
    pub fn charge_age(&self) -> Option<f64> {
        let composition = self.record.circumstances.composition.as_ref()?;
        Some(composition.age_seconds.abs()).filter(|age| *age > FRESH)
    }

    /// The age of its memory by kind, as evidence.
    pub fn charge_age_fact(&self) -> Option<Fact> {
        let age = self.charge_age()?;
        Some(fact("these figures were read before the kill by", format!("{age:.0} s"), Grade::Read))
    }

    /// A conclusion from its memory by kind: what was read long before the kill is not sure.
    pub fn from_charge(&self, confidence: Confidence) -> Confidence {
        if self.charge_age().is_some() { confidence.min(Confidence::Medium) } else { confidence }
    }

    /// The usage that kinds are compared with: that of the same reading, else the one at the kill.
    pub fn charged(&self) -> Option<Bytes> {
        let composition = self.record.circumstances.composition.as_ref();
        composition.and_then(|composition| composition.charge.usage_bytes).or(self.usage)
    }

    /// Name of the owner of the limit, for a sentence.
    pub fn owner(&self) -> String {
        let circumstances = &self.record.circumstances;
        let label = circumstances.limit_owner_name.as_ref().and_then(|name| name.label());
        let path = || self.record.limit_owner.as_ref().and_then(|owner| owner.path.clone());
        label.or_else(path).unwrap_or_else(|| "its cgroup".to_owned())
    }

    /// Whether a function is on the trigger's kernel stack.
    pub fn stack_has(&self, names: &[&str]) -> bool {
        self.stack_symbols().any(|symbol| names.contains(&symbol))
    }

    /// The functions of the trigger's kernel stack, without compiler suffixes.
    pub fn stack_symbols(&self) -> impl Iterator<Item = &'a str> {
        let symbols = self.record.kernel_stack.iter().filter_map(|frame| frame.symbol.as_deref());
        symbols.map(|symbol| symbol.split('.').next().unwrap_or(symbol))
    }

    /// Age of the victim in seconds.
    pub fn age(&self) -> Option<f64> {
        age(self.record, &self.record.victim.task)
    }

    /// Age of the victim's container in seconds, from its oldest remaining process.
    pub fn container_age(&self) -> Option<f64> {
        let cgroup = self.record.victim.task.cgroup.as_deref();
        let processes = self.record.circumstances.processes.iter();
        let own = processes.filter(|process| cgroup.is_some() && process.task.cgroup.as_deref() == cgroup);
        let ages = own.filter_map(|process| age(self.record, &process.task));
        ages.chain(self.age()).max_by(f64::total_cmp)
    }

    /// The arenas of the victim.
    pub fn arenas(&self) -> &'a [ArenaRow] {
        self.record.circumstances.victim_memory.as_ref().map_or(&[], |memory| &memory.arenas)
    }

    /// The last point of the timeline at least `seconds` before the kill.
    pub fn point_before(&self, seconds: f64) -> Option<&'a Point> {
        self.record.circumstances.timeline.iter().rev().find(|point| point.seconds_before >= seconds)
    }

    /// How much firm memory grew in the last seconds; 0 if it did not, or is not known.
    pub fn grown_since(&self, seconds: f64) -> Bytes {
        let then = self.point_before(seconds).and_then(Point::firm);
        Bytes(then.zip(self.firm).map_or(0, |(then, now)| now.0.saturating_sub(then.0)))
    }

    /// The timeline since the victim's container started; all of it when the start is not known.
    pub fn timeline(&self) -> impl Iterator<Item = &'a Point> {
        let age = self.container_age().map_or(f64::INFINITY, |age| age + START_SLACK);
        self.record.circumstances.timeline.iter().filter(move |point| point.seconds_before <= age)
    }

    /// Firm memory over that time: usage without page cache, which the kernel reclaims before it kills.
    pub fn samples(&self) -> Vec<Sample> {
        self.timeline()
            .filter_map(|point| {
                Some(Sample { at: -point.seconds_before, value: self.firm_at(point)?.0 as f64 })
            })
            .collect()
    }

    /// The same, with the lowest firm memory of each interval where it is known: what is left after each collection.
    pub fn floors(&self) -> Vec<Sample> {
        let lowest = |point: &Point| match point.lowest_firm_bytes {
            Some(lowest) if point.seconds_before > 0.0 => Some(lowest),
            _ => self.firm_at(point),
        };
        self.timeline()
            .filter_map(|point| Some(Sample { at: -point.seconds_before, value: lowest(point)?.0 as f64 }))
            .collect()
    }

    /// When the victim started, as a time of samples.
    pub fn started(&self) -> Option<f64> {
        self.age().map(|age| -age)
    }

    fn firm_at(&self, point: &Point) -> Option<Bytes> {
        if point.seconds_before == 0.0 { self.firm } else { point.firm() }
    }

    /// Firm memory since it was last at the level at which it had settled; all of it if it never settled.
    pub fn rise(&self) -> Vec<Sample> {
        let mut samples = self.samples();
        if let Some(Bytes(level)) = self.settled() {
            let last = samples.iter().rposition(|sample| sample.value <= level as f64);
            samples.drain(..last.unwrap_or_default());
        }
        samples
    }

    /// Page cache that the kernel gave up on the way to the limit, if it was much.
    pub fn cache_given_up(&self) -> Option<Fact> {
        let limit = self.limit?;
        let most = self.timeline().filter_map(|point| point.file_bytes).max()?;
        let now = self.usage?.0.saturating_sub(self.firm?.0);
        let given = Bytes(most.0.saturating_sub(now));
        (share(given, limit) >= MUCH_CACHE)
            .then(|| fact("page cache that the kernel reclaimed first", given, Grade::Read))
    }

    /// The level at which firm memory settled since the container started; `None` if it never did. For a young container, the
    /// level before it allocated anything does not count, unless it lasts: on a busy machine a program may take seconds to
    /// load.
    pub fn settled(&self) -> Option<Bytes> {
        self.settled_times().pop().map(|(_, level)| level)
    }

    /// When it settled for the first time, in seconds before the kill, below zero.
    pub fn settled_at(&self) -> Option<f64> {
        self.settled_times().first().map(|(since, _)| *since)
    }

    /// The times in which it had settled, oldest first: since when, and the level.
    fn settled_times(&self) -> Vec<(f64, Bytes)> {
        let Some(limit) = self.limit.map(|limit| limit.0 as f64) else { return Vec::new() };
        let (samples, least) = (self.samples(), self.least_settled(limit));
        // Without the end, because usage is constant at a limit that is hit.
        let samples: Vec<&Sample> = samples.iter().filter(|sample| sample.value < 0.98 * limit).collect();
        let until = |(index, last): (usize, &&Sample)| {
            let (mut low, mut high) = (f64::MAX, 0.0_f64);
            for (count, sample) in samples.get(..=index)?.iter().rev().enumerate() {
                (low, high) = (low.min(sample.value), high.max(sample.value));
                if high - low > SETTLED_WITHIN * limit {
                    return None;
                }
                let needed = if high >= least { SETTLED_FOR } else { SETTLED_LOW_FOR };
                if count + 1 >= FEWEST_SETTLED && last.at - sample.at >= needed - SECOND / 2.0 {
                    return Some((sample.at, Bytes(high as u64)));
                }
            }
            None
        };
        samples.iter().enumerate().filter_map(until).collect()
    }

    /// The least usage at which a starting container can have settled.
    fn least_settled(&self, limit: f64) -> f64 {
        let Some(age) = self.container_age().filter(|age| *age <= LONGEST_START) else { return 0.0 };
        let timeline = &self.record.circumstances.timeline;
        let before = timeline.iter().rev().find(|point| point.seconds_before >= age + START_SLACK);
        let before = before.and_then(Point::firm).unwrap_or_default();
        before.0 as f64 + SETTLED_WITHIN * limit
    }

    /// The sums of the processes under the limit, by cgroup.
    pub fn groups(&self) -> BTreeMap<&'a str, Group> {
        let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
        for process in &self.record.circumstances.processes {
            let Some(cgroup) = self.cgroup_of(process) else { continue };
            let group = groups.entry(cgroup).or_default();
            group.rss += process.rss_bytes.unwrap_or_default().0;
            group.growth += process.growth_bytes_per_second.unwrap_or_default();
        }
        groups
    }

    fn cgroup_of(&self, process: &'a ProcessAtKill) -> Option<&'a str> {
        let own = process.task.cgroup.as_deref();
        let (victim, trigger) = (&self.record.victim.task, &self.record.trigger.task);
        let of = |task: &'a TaskFacts| task.cgroup.as_deref().filter(|_| task.pid == process.task.pid);
        own.or_else(|| of(victim)).or_else(|| of(trigger))
    }
}

fn age(record: &OomRecord, task: &TaskFacts) -> Option<f64> {
    Some(record.time.duration_since(task.started?).as_secs_f64().max(0.0))
}

/// A fact.
pub fn fact(what: impl Into<String>, value: impl ToString, grade: Grade) -> Fact {
    Fact { what: what.into(), value: value.to_string(), grade }
}

/// A part as a percentage.
pub fn percent(part: f64) -> String {
    format!("{:.0} %", part * 100.0)
}

/// `part` of `whole`; 0 for nothing.
pub fn share(part: Bytes, whole: Bytes) -> f64 {
    if whole.0 == 0 { 0.0 } else { part.0 as f64 / whole.0 as f64 }
}

/// The name of a task's process and its id, for a sentence.
pub fn who(task: &TaskFacts) -> String {
    let name = task.process_comm.as_ref().unwrap_or(&task.comm);
    format!("{name} ({})", task.pid.unwrap_or(task.tid))
}
