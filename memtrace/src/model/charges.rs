//! The charges of all cgroups, read where that is worthwhile, and the rows of groups that have a limit.
//!
//! Input: the rows of the cgroups that have processes. Output: their charge and id, and a row for each ancestor with a
//! limit of its own, because a pod's limit kills as well as a container's. A tick reads at most `A_TICK` charges:
//! first of cgroups that were never read, then by their change and the age of the reading.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::{
    cgroup::{
        hierarchy::Hierarchy,
        stat::{Reader, Reading},
    },
    model::{
        journal::{Journal, Question},
        rows,
    },
    snapshot::{ArenaRow, ContainerRow},
    text::escape,
    units::Bytes,
};

/// The most charges read in one tick: about 10 ms. A node with 250 pods has about 500 containers; their charges are
/// then at most half a minute old, or five seconds if all of them change.
const A_TICK: usize = 128;
/// Charges that are always read in a tick, those with the highest scores. Nodes with fewer cgroups read all of them.
const CALM: usize = 8;
/// A score that is worth a reading: that of thirty seconds of age, or of this many bytes of change.
const OF_NOTE: u64 = 30 * A_SECOND;
/// A second of age counts as much as this many bytes of change.
const A_SECOND: u64 = (10 << 20) / 30;

#[derive(Debug, Default)]
pub struct Charges {
    reader: Reader,
    /// By the cgroup's path, escaped.
    known: HashMap<String, LastCharge>,
}

#[derive(Debug)]
struct LastCharge {
    reading: Option<Reading>,
    at: u64,
    usage: u64,
}

impl Charges {
    /// Fills in charges and ids; `paths` has the path of each row's cgroup.
    pub fn fill(
        &mut self,
        journal: &Journal,
        hierarchy: Option<&Hierarchy>,
        paths: &HashMap<String, Vec<u8>>,
        rows: &mut [ContainerRow],
        now: u64,
    ) {
        let Self { reader, known, .. } = self;
        for row in due(known, rows, now) {
            let Some(path) = paths.get(&row.cgroup) else { continue };
            let reading = journal.ask(&Question::Charge(path), || reader.read(hierarchy?, path));
            let usage = row.usage_bytes.unwrap_or_default().0;
            known.insert(row.cgroup.clone(), LastCharge { reading, at: now, usage });
        }
        known.retain(|cgroup, _| paths.contains_key(cgroup));
        for row in rows.iter_mut() {
            let Some(LastCharge { reading: Some(reading), at, .. }) = known.get(&row.cgroup) else {
                continue;
            };
            row.charge = Some(reading.charge.clone());
            row.cgroup_id = Some(reading.cgroup_id);
            row.charge_age_seconds = Some(now.saturating_sub(*at) as f64 / 1e9);
        }
    }
}

/// The ancestors of these cgroups that have a limit of their own and are not among them.
pub fn groups<'a>(
    paths: impl Iterator<Item = &'a [u8]>,
    mut own_limit: impl FnMut(&[u8]) -> Option<Bytes>,
) -> Vec<Vec<u8>> {
    let paths: HashSet<&[u8]> = paths.collect();
    let above: BTreeSet<&[u8]> = paths.iter().flat_map(|path| ancestors(path)).collect();
    let limited = above.into_iter().filter(|path| !paths.contains(path) && own_limit(path).is_some());
    limited.map(<[u8]>::to_vec).collect()
}

/// The rows to read now.
fn due<'a>(known: &HashMap<String, LastCharge>, rows: &'a [ContainerRow], now: u64) -> Vec<&'a ContainerRow> {
    let worth = |row: &ContainerRow| {
        let Some(LastCharge { at, usage, .. }) = known.get(&row.cgroup) else { return u64::MAX };
        let moved = row.usage_bytes.unwrap_or_default().0.abs_diff(*usage);
        let age = u128::from(now.saturating_sub(*at)) * u128::from(A_SECOND) / 1_000_000_000;
        moved.saturating_add(u64::try_from(age).unwrap_or(u64::MAX))
    };
    let mut order: Vec<(u64, &ContainerRow)> = rows.iter().map(|row| (worth(row), row)).collect();
    // Rows come in any order, and a replay must choose the same ones.
    order.sort_by(|a, b| (b.0, &a.1.cgroup).cmp(&(a.0, &b.1.cgroup)));
    let is_due = |(index, (worth, _)): &(usize, (u64, &ContainerRow))| *index < CALM || *worth >= OF_NOTE;
    order.into_iter().take(A_TICK).enumerate().filter(is_due).map(|(_, (_, row))| row).collect()
}

/// The ancestors of a path, without the root, which has no limit.
fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/');
    slashes.filter_map(|(index, _)| path.get(..index))
}

/// The rows of groups, without figures from their files: the sums of the rows below each.
pub fn group_rows(groups: &[Vec<u8>], rows: &[ContainerRow]) -> Vec<ContainerRow> {
    let names: Vec<String> = groups.iter().map(|path| escape(path)).collect();
    let none = |name: &String| (ContainerRow::empty(name.clone()), Vec::new());
    let mut sums: HashMap<&[u8], (ContainerRow, Vec<ArenaRow>)> =
        names.iter().map(|name| (name.as_bytes(), none(name))).collect();
    for row in rows {
        for above in ancestors(row.cgroup.as_bytes()) {
            let Some((group, arenas)) = sums.get_mut(above) else { continue };
            group.processes += row.processes;
            group.rss_bytes.0 += row.rss_bytes.0;
            for arena in &*row.arenas {
                rows::add(arenas, arena);
            }
        }
    }
    sums.into_values()
        .map(|(mut group, mut arenas)| {
            group.is_group = true;
            rows::sort(&mut arenas);
            group.arenas = arenas.into();
            group
        })
        .collect()
}

#[cfg(test)]
#[path = "charges_tests.rs"]
mod tests;
