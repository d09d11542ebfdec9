//! Memory usage over time, in fixed memory, for each container.
//!
//! Input: snapshots, one after another. Output: [`Series`] of the last 24 hours. Pure. Containers that ended are kept
//! for a while, because a kill is judged after its victim is gone. Readings that do not fit are counted.
//!
//! Verdicts on growth use the lowest firm memory of each interval, kills and plots its highest usage.

pub mod file;
pub mod lasting;
pub mod series;
pub mod shared;

use std::collections::HashMap;

use self::series::Series;
use crate::{
    cgroup::charge::Charge,
    snapshot::{ContainerRow, Snapshot},
    units::Bytes,
};

/// The most containers that are followed: about 56 KB each after a day.
const MAX_CONTAINERS: usize = 512;
/// How long a container that ended is kept, in ns.
const KEPT: u64 = 600_000_000_000;

/// Figures of a container.
pub const FIGURES: usize = 6;

/// A figure of a container, by its index in the values of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Figure {
    /// The charge, descendants included. Peaks of this figure are kept.
    Usage = 0,
    /// The lowest limit that applies to it.
    Limit = 1,
    /// Anonymous memory; the sum of its processes' RSS if the charge is not known.
    Anon = 2,
    /// Page cache.
    File = 3,
    /// Shared memory and tmpfs.
    Shmem = 4,
    /// Kernel memory.
    Kernel = 5,
}

/// The figures of one instant.
pub type Figures = [Option<Bytes>; FIGURES];

#[derive(Clone, Debug)]
struct Followed {
    series: Series<FIGURES>,
    /// Cgroup id: another id under the same path is another group.
    id: Option<u64>,
    seen: u64,
}

/// The history of the node.
#[derive(Clone, Debug, Default)]
pub struct History {
    containers: HashMap<String, Followed>,
    overflow: u64,
}

impl History {
    /// Takes the figures of a snapshot at `now`, ns since boot.
    pub fn take(&mut self, snapshot: &Snapshot, now: u64) {
        for row in &snapshot.containers {
            let reading = (figures(row), firm_of(row));
            self.overflow += u64::from(!push(&mut self.containers, &row.cgroup, row.cgroup_id, reading, now));
        }
        self.containers.retain(|_, followed| followed.seen.saturating_add(KEPT) >= now);
    }

    /// Takes the figures of one group, which need not have processes of its own.
    pub fn read(&mut self, cgroup: &str, id: Option<u64>, figures: Figures, now: u64) {
        let reading = (figures, firm(&figures));
        self.overflow += u64::from(!push(&mut self.containers, cgroup, id, reading, now));
    }

    /// All containers with a series, including ended ones.
    pub fn containers(&self) -> impl Iterator<Item = (&str, &Series<FIGURES>)> {
        self.containers.iter().map(|(cgroup, followed)| (cgroup.as_str(), &followed.series))
    }

    /// The series of a container.
    pub fn container(&self, cgroup: &str) -> Option<&Series<FIGURES>> {
        self.containers.get(cgroup).map(|followed| &followed.series)
    }

    /// Readings that were not kept, because too many containers are followed already.
    pub fn overflow(&self) -> u64 {
        self.overflow
    }

    /// The number of series, and the memory that they use.
    pub fn footprint(&self) -> (usize, Bytes) {
        let containers: u64 = self.containers.values().map(|followed| followed.series.footprint().0).sum();
        (self.containers.len(), Bytes(containers))
    }
}

/// Adds a reading; false when there is no room. A new container replaces the one that ended longest ago.
fn push(
    all: &mut HashMap<String, Followed>,
    key: &str,
    id: Option<u64>,
    (values, firm): (Figures, Option<Bytes>),
    now: u64,
) -> bool {
    if let Some(followed) = all.get_mut(key) {
        if followed.id.is_some() && id.is_some() && followed.id != id {
            followed.series = Series::default();
        }
        followed.id = id.or(followed.id);
        followed.seen = now;
        followed.series.push(now, values, firm);
        return true;
    }
    if all.len() >= MAX_CONTAINERS {
        let gone = all.iter().filter(|(_, followed)| followed.seen < now);
        let Some((oldest, _)) = gone.min_by_key(|(_, followed)| followed.seen) else { return false };
        let oldest = oldest.clone();
        all.remove(&oldest);
    }
    let mut series = Series::default();
    series.push(now, values, firm);
    all.insert(key.to_owned(), Followed { series, id, seen: now });
    true
}

/// The figures of a row.
pub fn figures(row: &ContainerRow) -> Figures {
    let charge = row.charge.as_ref();
    let peak = row.peak.as_ref().map(|peak| peak.bytes);
    let usage = row.usage_bytes.or(charge.and_then(|charge| charge.usage_bytes));
    [
        usage.max(peak),
        row.limit.as_ref().map(|limit| limit.bytes),
        charge.and_then(|charge| charge.anon_bytes).or(Some(row.rss_bytes)),
        charge.and_then(Charge::file),
        charge.and_then(|charge| charge.shmem_bytes),
        charge.and_then(Charge::kernel),
    ]
}

/// Firm memory of a row: what the kernel cannot reclaim, from one reading of its charge, else its processes' RSS.
fn firm_of(row: &ContainerRow) -> Option<Bytes> {
    match &row.charge {
        Some(charge) => charge.firm().or_else(|| row.firm()),
        None => Some(row.rss_bytes),
    }
}

/// Firm memory of figures of one instant: usage without page cache; `None` if either is not known.
fn firm(figures: &Figures) -> Option<Bytes> {
    let of = |figure: Figure| figures.get(figure as usize).copied().flatten();
    Some(Bytes(of(Figure::Usage)?.0.saturating_sub(of(Figure::File)?.0)))
}

/// The lowest firm memory of a point; of points from before it was kept, the one at its highest usage.
pub fn low(point: &series::Point<FIGURES>) -> Option<Bytes> {
    point.low.or_else(|| firm(&point.values))
}

/// Thins older points: one per second for two minutes, one per half minute for half an hour, then one per half hour. Of
/// each interval the point with the highest first value is kept, and the lowest firm memory.
pub fn coarse<const N: usize>(points: &[series::Point<N>]) -> Vec<series::Point<N>> {
    let mut out: Vec<series::Point<N>> = Vec::new();
    let mut last_stretch = None;
    for point in points {
        let wide = match point.length {
            1 => 1,
            10 => 30,
            _ => 1800,
        };
        let stretch = Some((wide, point.second / wide));
        match out.last_mut().filter(|_| stretch == last_stretch) {
            Some(last) => {
                if point.values.first() > last.values.first() {
                    last.values = point.values;
                }
                last.low = last.low.into_iter().chain(point.low).min();
                last.length = point.second + point.length - last.second;
            }
            None => out.push(*point),
        }
        last_stretch = stretch;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Figure, History, KEPT, MAX_CONTAINERS};

    const SECOND: u64 = 1_000_000_000;
    const MIB: u64 = 1 << 20;

    fn usage(bytes: u64) -> super::Figures {
        let mut figures = [None; super::FIGURES];
        figures[Figure::Usage as usize] = Some(Bytes(bytes));
        figures
    }

    #[test]
    fn another_group_under_the_same_path_begins_anew() {
        let mut history = History::default();
        history.read("/a", Some(1), usage(MIB), SECOND);
        history.read("/a", Some(1), usage(2 * MIB), 2 * SECOND);
        assert_eq!(history.container("/a").unwrap().points().len(), 2);
        history.read("/a", Some(2), usage(3 * MIB), 3 * SECOND);
        assert_eq!(history.container("/a").unwrap().points().len(), 1);
        history.read("/a", None, usage(3 * MIB), 4 * SECOND);
        assert_eq!(history.container("/a").unwrap().points().len(), 2, "not known is not another");
    }

    #[test]
    fn the_gone_make_place_and_the_rest_is_counted() {
        let mut history = History::default();
        for number in 0..MAX_CONTAINERS {
            history.read(&format!("/{number}"), None, usage(1), SECOND);
        }
        history.read("/0", None, usage(1), 2 * SECOND);
        history.read("/new", None, usage(1), 2 * SECOND);
        assert_eq!(history.overflow(), 0);
        assert!(history.container("/0").is_some() && history.container("/new").is_some());
        for number in 0..MAX_CONTAINERS {
            history.read(&format!("/{number}"), None, usage(1), 3 * SECOND);
        }
        history.read("/one more", None, usage(1), 3 * SECOND);
        assert_eq!(history.overflow(), 1);
        assert_eq!(history.footprint().0, MAX_CONTAINERS);
    }

    #[test]
    fn what_is_gone_is_forgotten_after_a_while() {
        let mut history = History::default();
        history.read("/a", None, usage(1), SECOND);
        let empty = crate::snapshot::Snapshot {
            schema: 1,
            time: jiff::Timestamp::UNIX_EPOCH,
            tracer: None,
            processes: Vec::new(),
            containers: Vec::new(),
            node: crate::snapshot::Node::default(),
        };
        history.take(&empty, SECOND + KEPT);
        assert!(history.container("/a").is_some());
        history.take(&empty, SECOND + KEPT + 1);
        assert!(history.container("/a").is_none());
    }
}
