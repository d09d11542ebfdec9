//! The snapshot of a tick.
//!
//! Input: the model. Output: [`Snapshot`]. Only rows of processes with changes are rebuilt, and only groups with such a
//! row are summed again: most processes of a node do not change.

use std::{cmp::Reverse, collections::HashSet, sync::Arc};

use super::{Model, now};
use crate::{
    cgroup::{
        hierarchy::Hierarchy,
        memcg::{self, Limit},
    },
    mm::{process::Process, procfs::Procfs, spare},
    model::{
        cgroup_rows::CgroupRows,
        charges,
        groups::Group,
        journal::{Call, Journal, Question},
        node,
        peaks::ticks::Now,
        rows,
    },
    snapshot::{ContainerRow, Memory, ProcessRow, SCHEMA, Snapshot, Tracer},
    text::escape,
    units::{Bytes, Grade},
};

/// A row of the last snapshot.
pub(super) struct Shown {
    row: Arc<ProcessRow>,
    rss: Option<Bytes>,
    /// The number of its cgroup.
    pub(super) group: Option<usize>,
    /// Until when it is valid without events.
    until: u64,
}

impl Model {
    /// The current snapshot.
    pub fn snapshot(&mut self, tracer: Option<Tracer>) -> Snapshot {
        let (time, ktime) = now(&self.journal);
        let now = Now { time, ktime };
        let has_limits = self.limits.begin_tick(ktime);
        self.make_rows(now, has_limits);
        let mut containers = self.containers(ktime, has_limits);
        self.set_peaks(&mut containers, now);
        self.spaces.begin_tick(ktime, self.groups.bound());
        self.groups.end_tick();
        self.ticks.end(ktime, &containers);
        let node = self.journal.ask(&Question::Node, || node::read(self.procfs.root()));
        let mut shown: Vec<_> =
            self.rows.iter().map(|(pid, shown)| (Reverse(shown.rss), *pid, &shown.row)).collect();
        shown.sort_unstable_by_key(|(rss, pid, _)| (*rss, *pid));
        let processes = shown.into_iter().map(|(.., row)| Arc::clone(row)).collect();
        let mut snapshot = Snapshot { schema: SCHEMA, time, tracer, processes, containers, node };
        self.journal.called(&Call::Snapshot(snapshot.tracer.clone().map(Box::new)));
        snapshot.sort();
        snapshot
    }

    /// Rebuilds the rows that are out of date, and sums them by group.
    fn make_rows(&mut self, both: Now, has_limits: bool) {
        let Self {
            procfs, hierarchy, processes, spaces, limits, journal, ticks, groups, rows, fresh, ..
        } = self;
        let now = both.ktime;
        let mut limit_of = |path: &[u8]| limits.effective(path, own_limit(journal, hierarchy.as_ref()));
        let has_new_limits = has_limits && groups.set_limits(&mut limit_of);
        let is_of_new_limit = |shown: &Shown| {
            let group = shown.group.filter(|_| has_new_limits).and_then(|group| groups.get(group));
            group.is_some_and(|group| group.is_changed)
        };
        let is_due = |shown: &Shown| shown.until <= now || is_of_new_limit(shown);
        let fresh = std::mem::take(fresh).into_iter();
        let mut due: HashSet<u32> = fresh.chain(spaces.touched().iter().copied()).collect();
        due.extend(rows.iter().filter(|(_, shown)| is_due(shown)).map(|(pid, _)| *pid));
        // Processes that started while /proc could not be listed were not read.
        if rows.len() < processes.count() {
            due.extend(processes.iter().map(|process| process.pid).filter(|pid| !rows.contains_key(pid)));
        }
        for process in due.into_iter().filter_map(|pid| processes.get(pid)) {
            let (pid, path) = (process.pid, process.cgroup.as_deref());
            let from = rows.get(&pid).and_then(|shown| shown.group);
            let group = groups.enter(from, path, || limit_of(path?));
            spaces.enter(pid, group);
            let limit = group.and_then(|group| groups.get(group)?.limit.clone());
            let total = process.resident().map(|reading| Bytes(reading.bytes)).unwrap_or_default();
            let memory = spaces.arenas(pid, total, now).map(|arenas| rows::memory(&arenas, both));
            let totals_only = spaces.totals_only(pid);
            let mark = ticks.may_have_risen(process).then(|| high_water(journal, procfs, pid)).flatten();
            let peak = ticks.process(process, mark, spaces.estimate(pid), both);
            let not_read = spaces.not_read(pid).map(str::to_owned);
            let new = row(process, limit, memory, both);
            let row = Arc::new(ProcessRow { peak, totals_only, not_read, ..new });
            let is_at_rest = process.is_at_rest(now) && row.has_no_peak();
            let until = if is_at_rest { spaces.stands_until(pid) } else { 0 };
            rows.insert(pid, Shown { rss: row.rss_bytes, group, until, row });
        }
        spare::give_back(rows);
        groups.sum_up(rows.values().filter_map(|shown| Some((shown.group?, &*shown.row))));
    }

    /// The rows of cgroups, without their peaks.
    fn containers(&mut self, now: u64, has_limits: bool) -> Vec<ContainerRow> {
        let Self { hierarchy, limits, charges, labels, journal, groups, gauges, cgroup_rows, .. } = self;
        let hierarchy = hierarchy.as_ref();
        let mut usage = |path: &[u8]| journal.ask(&Question::Usage(path), || gauges.usage(hierarchy?, path));
        cgroup_rows.look(groups, has_limits, |path| limits.own(path, own_limit(journal, hierarchy)));
        let CgroupRows { above, paths, .. } = &*cgroup_rows;
        let mut containers = Vec::with_capacity(groups.bound() + above.len());
        let of_group = |group: &Group| ContainerRow { usage_bytes: usage(&group.path), ..group.row() };
        containers.extend(groups.iter().map(of_group));
        containers.extend(charges::group_rows(above, &containers));
        for group in containers.iter_mut().filter(|row| row.is_group) {
            let Some(path) = paths.get(&group.cgroup) else { continue };
            group.usage_bytes = usage(path);
            group.limit = limits.effective(path, own_limit(journal, hierarchy));
        }
        charges.fill(journal, hierarchy, paths, &mut containers, now);
        labels.fill(paths, &mut containers);
        containers
    }

    /// Sets the peaks of cgroups, and marks the processes of those whose charge has changed to be read.
    fn set_peaks(&mut self, containers: &mut [ContainerRow], now: Now) {
        let Self { hierarchy, processes, spaces, journal, ticks, groups, gauges, rows, cgroup_rows, .. } =
            self;
        let hierarchy = hierarchy.as_ref();
        let mut restless = HashSet::new();
        for container in containers {
            let Some(path) = cgroup_rows.paths.get(&container.cgroup) else { continue };
            let mut mark = || {
                let mark = journal.ask(&Question::Watermark(path), || gauges.watermark(hierarchy?, path));
                mark.map(|mark| mark.0)
            };
            let number = groups.number(path);
            let rise = number.and_then(|number| spaces.group_peak(number));
            let (mark, owners) = match number.and_then(|number| groups.get_mut(number)) {
                Some(group) => {
                    // A group without a change of charge or rows had no peak.
                    if group.is_changed || group.usage != container.usage_bytes {
                        group.mark = mark();
                    }
                    group.usage = container.usage_bytes;
                    if container.usage_bytes.is_some_and(|usage| group.is_restless(usage, now.ktime)) {
                        restless.extend(number);
                    }
                    (group.mark, Arc::clone(group.owners()))
                }
                None => (mark(), Arc::default()),
            };
            container.peak = ticks.container(container, mark, rise, owners, now);
        }
        gauges.close_unused();
        if !restless.is_empty() {
            let is_restless = |shown: &Shown| shown.group.is_some_and(|group| restless.contains(&group));
            processes.mark(rows.iter().filter(|(_, shown)| is_restless(shown)).map(|(pid, _)| *pid));
        }
    }
}

/// Reads the limit of the group itself.
fn own_limit(journal: &Journal, hierarchy: Option<&Hierarchy>) -> impl Fn(&[u8]) -> Option<Bytes> {
    move |path| journal.ask(&Question::OwnLimit(path), || memcg::own_limit(hierarchy?, path))
}

/// Reads the peak RSS.
fn high_water(journal: &Journal, procfs: &Procfs, pid: u32) -> Option<u64> {
    journal.ask(&Question::HighWater(pid), || procfs.status(pid).ok()?.rss_peak_kib?.checked_mul(1024))
}

fn row(process: &Process, limit: Option<Limit>, memory: Option<Memory>, now: Now) -> ProcessRow {
    let seconds = |nanoseconds: u64| nanoseconds as f64 / 1e9;
    let (resident, growth) = (process.resident(), process.growth(now.ktime));
    ProcessRow {
        pid: process.pid,
        comm: process.comm.clone(),
        uid: process.uid,
        started: process.start.map(|start| now.wall(start)),
        cgroup: process.cgroup.as_deref().map(escape),
        rss_bytes: resident.map(|reading| Bytes(reading.bytes)),
        rss_grade: Grade::Read,
        rss_read: resident.map(|reading| now.wall(reading.at)),
        growth_bytes_per_second: growth.map(|growth| growth.bytes as f64 / seconds(growth.over)),
        growth_window_seconds: growth.map(|growth| seconds(growth.over)),
        limit,
        memory,
        not_read: None,
        totals_only: None,
        peak: None,
    }
}
