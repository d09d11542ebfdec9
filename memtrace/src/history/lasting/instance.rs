//! One instance of a workload: a cgroup from second to second.
//!
//! Rows of a snapshot -> a [`Reading`]: `U` and its rise, and what happened since the reading before. Pure.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    cgroup::charge::Charge,
    container::{name::Name, workload::Workload},
    snapshot::{ContainerRow, age},
    units::Bytes,
};

/// Age of the oldest process, in seconds, below which an instance is starting: large programs load for minutes.
const START_UP: f64 = 180.0;
/// A charge that was read longer ago, in seconds, is aged.
const FRESH: f64 = 2.0;
/// Two readings are one second apart if they are no further apart than this, in ns.
const A_SECOND: u64 = 1_600_000_000;
/// The share of the limit from which it binds.
const BOUND: f64 = 0.97;
/// The share of the page cache that may be read again each second, and of time that tasks may wait for memory.
const CALM: f64 = 0.001;
const PAGE: f64 = 4096.0;

/// A cgroup with a workload.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    /// `None` when the cgroup is no workload's.
    pub(super) workload: Option<Arc<Workload>>,
    name: Option<Arc<Name>>,
    id: Option<u64>,
    /// When it was last seen, ns since boot.
    pub(super) seen: u64,
    /// When its oldest process started; `None` while it is not known.
    pub(super) started: Option<Timestamp>,
    /// The last fresh reading of `U`, and when.
    last: Option<(u64, u64)>,
    before: Counts,
}

/// The kernel's counts at the last reading.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    hits: Option<u64>,
    kills: Option<u64>,
    refaults: Option<u64>,
    /// When the charge was read, ns since boot.
    at: u64,
}

/// What a second adds to a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reading {
    pub(super) firm: Option<u64>,
    pub(super) crest: Option<u64>,
    pub(super) rise: Option<u64>,
    pub(super) is_aged: bool,
    pub(super) is_starting: bool,
    pub(super) hits: u32,
    pub(super) kills: u16,
    /// Page cache while the limit binds, and whether the workload did not wait for it.
    pub(super) bound: Option<(u64, bool)>,
    pub(super) scraped: Option<u64>,
    pub(super) limit: Option<u64>,
}

impl Instance {
    /// A cgroup that was not seen before.
    pub(super) fn new(row: &ContainerRow) -> Self {
        Self {
            workload: Workload::of(row.name.as_deref(), &row.cgroup).map(Arc::new),
            name: row.name.clone(),
            id: row.cgroup_id,
            seen: 0,
            started: None,
            last: None,
            before: Counts::default(),
        }
    }

    /// Whether the row is of another group under the same path.
    pub(super) fn is_replaced(&self, row: &ContainerRow) -> bool {
        self.id.zip(row.cgroup_id).is_some_and(|(id, now)| id != now)
    }

    /// Whether it is starting at `now`; unknown counts as not.
    pub(super) fn is_starting(&self, now: Timestamp) -> bool {
        self.started.is_some_and(|started| age(now, started) < START_UP)
    }

    /// Whether it replaced an instance, as its runtime tells.
    pub(super) fn is_restart(&self) -> bool {
        self.name.as_ref().and_then(|name| name.restart).is_some_and(|restart| restart > 0)
    }

    /// Follows a name that became known later.
    fn rename(&mut self, row: &ContainerRow) {
        let is_same = match (&self.name, &row.name) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new) || old == new,
            (None, None) => true,
            _ => false,
        };
        if !is_same {
            self.name.clone_from(&row.name);
            self.workload = Workload::of(row.name.as_deref(), &row.cgroup).map(Arc::new);
        }
    }

    /// Takes a second's row, at `wall` and `now` (ns since boot).
    pub(super) fn read(&mut self, row: &ContainerRow, wall: Timestamp, now: u64) -> Reading {
        self.rename(row);
        self.id = row.cgroup_id.or(self.id);
        self.seen = now;
        let charge = row.charge.as_ref();
        let is_aged = row.charge_age_seconds.is_none_or(|age| age > FRESH);
        let usage =
            row.usage_bytes.or(charge.and_then(|charge| charge.usage_bytes)).map(|Bytes(usage)| usage);
        let firm = row.firm().map(|Bytes(firm)| firm);
        let limit = row.limit.as_ref().map(|limit| limit.bytes.0);
        let is_starting = self.is_starting(wall);
        let mut reading = Reading { firm, is_aged, is_starting, limit, ..Reading::default() };
        reading.rise = self.rise(firm.filter(|_| !is_aged && !is_starting), now);
        if let Some(charge) = charge {
            self.count(charge, row.charge_age_seconds.unwrap_or_default(), (usage, limit), now, &mut reading);
        }
        let is_at_limit = |bytes: u64| limit.is_some_and(|limit| bytes as f64 >= limit as f64 * BOUND);
        // At the limit the kernel reclaims page cache until the charge fits, so this peak says nothing about `U`.
        let peak = row.peak.as_ref().map(|peak| peak.bytes.0);
        let peak = peak.filter(|peak| !is_at_limit(*peak) || reading.kills > 0);
        reading.crest = firm
            .zip(usage)
            .zip(peak)
            .map(|((firm, usage), peak)| firm.saturating_add(peak.saturating_sub(usage)));
        if wall.as_second() % 30 == 0 {
            let inactive = charge.and_then(|charge| charge.inactive_file_bytes);
            reading.scraped =
                usage.zip(inactive).map(|(usage, Bytes(inactive))| usage.saturating_sub(inactive));
        }
        reading
    }

    fn rise(&mut self, firm: Option<u64>, now: u64) -> Option<u64> {
        let last = std::mem::replace(&mut self.last, firm.map(|firm| (now, firm)));
        let ((at, before), firm) = last.zip(firm)?;
        let rise = firm.saturating_sub(before);
        (now.saturating_sub(at) <= A_SECOND && rise > 0).then_some(rise)
    }

    /// What the kernel counted since the reading before.
    fn count(
        &mut self,
        charge: &Charge,
        age: f64,
        (usage, limit): (Option<u64>, Option<u64>),
        now: u64,
        reading: &mut Reading,
    ) {
        let at = now.saturating_sub((age.max(0.0) * 1e9) as u64);
        let counts =
            Counts { hits: charge.max_events, kills: charge.oom_kills, refaults: charge.file_refaults, at };
        let before = std::mem::replace(&mut self.before, counts);
        let more = |now: Option<u64>, before: Option<u64>| {
            now.zip(before).map_or(0, |(now, before)| now.saturating_sub(before))
        };
        reading.hits = u32::try_from(more(counts.hits, before.hits)).unwrap_or(u32::MAX);
        reading.kills = u16::try_from(more(counts.kills, before.kills)).unwrap_or(u16::MAX);
        let is_bound = usage.zip(limit).is_some_and(|(usage, limit)| usage as f64 >= limit as f64 * BOUND);
        let seconds = at.saturating_sub(before.at) as f64 / 1e9;
        let (Some(refaults), Some(_), Some(Bytes(file))) = (counts.refaults, before.refaults, charge.file())
        else {
            return;
        };
        if !is_bound || seconds < 0.5 {
            return;
        }
        let again = more(Some(refaults), before.refaults) as f64 * PAGE / seconds;
        let waits = charge.pressure_some10.is_some_and(|some| some > CALM);
        reading.bound = Some((file, again <= CALM * file as f64 && !waits));
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Charge, ContainerRow, Instance, Timestamp};
    use crate::{cgroup::memcg::Limit, snapshot::Peak, units::Grade};

    const SECOND: u64 = 1_000_000_000;

    fn row(usage: u64, file: u64) -> ContainerRow {
        ContainerRow {
            usage_bytes: Some(Bytes(usage)),
            charge: Some(Charge {
                usage_bytes: Some(Bytes(usage)),
                active_file_bytes: Some(Bytes(file)),
                inactive_file_bytes: Some(Bytes(0)),
                file_refaults: Some(100),
                max_events: Some(7),
                oom_kills: Some(1),
                ..Charge::default()
            }),
            charge_age_seconds: Some(0.0),
            limit: Some(Limit { bytes: Bytes(10_000_000), owner: "/a".into() }),
            ..ContainerRow::empty("/a".into())
        }
    }

    fn read(instance: &mut Instance, row: &ContainerRow, second: u64) -> super::Reading {
        instance.read(row, Timestamp::from_second(1_780_000_000 + second as i64).unwrap(), second * SECOND)
    }

    #[test]
    fn a_rise_is_between_two_fresh_readings_a_second_apart() {
        let mut instance = Instance::new(&row(0, 0));
        assert_eq!(read(&mut instance, &row(1000, 400), 1).rise, None);
        let reading = read(&mut instance, &row(1500, 400), 2);
        assert_eq!((reading.firm, reading.rise, reading.crest), (Some(1100), Some(500), None));
        assert_eq!(read(&mut instance, &row(9000, 400), 9).rise, None, "seven seconds");
        let aged = ContainerRow { charge_age_seconds: Some(20.0), ..row(9500, 400) };
        let reading = read(&mut instance, &aged, 10);
        assert_eq!((reading.rise, reading.is_aged), (None, true));
    }

    #[test]
    fn counts_are_those_since_the_reading_before() {
        let mut instance = Instance::new(&row(0, 0));
        assert_eq!(read(&mut instance, &row(1000, 0), 1).kills, 0, "those from before are not its own");
        let mut later = row(1000, 0);
        let charge = later.charge.as_mut().unwrap();
        (charge.max_events, charge.oom_kills) = (Some(9), Some(2));
        let reading = read(&mut instance, &later, 2);
        assert_eq!((reading.hits, reading.kills), (2, 1));
    }

    #[test]
    fn cache_at_the_limit_is_calm_unless_it_is_read_again() {
        let mut instance = Instance::new(&row(0, 0));
        let full = row(9_900_000, 4_096_000);
        read(&mut instance, &full, 1);
        assert_eq!(read(&mut instance, &full, 2).bound, Some((4_096_000, true)));
        let mut again = full.clone();
        again.charge.as_mut().unwrap().file_refaults = Some(102);
        assert_eq!(read(&mut instance, &again, 3).bound, Some((4_096_000, false)));
        assert_eq!(read(&mut instance, &row(5_000_000, 4_096_000), 4).bound, None, "the limit does not bind");
    }

    #[test]
    fn a_crest_at_the_limit_is_page_cache() {
        let crest = |bytes: u64| {
            let peak = Peak { bytes: Bytes(bytes), time: None, grade: Grade::Read, owners: [].into() };
            let row = ContainerRow { peak: Some(peak), ..row(2_000_000, 500_000) };
            read(&mut Instance::new(&row), &row, 1).crest
        };
        assert_eq!(crest(3_000_000), Some(2_500_000));
        assert_eq!(crest(9_990_000), None);
    }
}
