//! Which groups are near their own limit.
//!
//! A snapshot -> groups with their limits, the fullest first. Pure.

use crate::snapshot::{ContainerRow, Snapshot};

/// The groups above this part of a limit that is their own, at most so many, each with the limit in bytes.
pub(super) fn limits(snapshot: &Snapshot, least: f64, most: usize) -> Vec<(&ContainerRow, u64)> {
    let near = |row: &'_ ContainerRow| {
        let limit = row.limit.as_ref().filter(|limit| limit.owner == row.cgroup)?.bytes.0;
        let part = row.usage_bytes?.0 as f64 / (limit as f64).max(1.0);
        (part >= least).then_some((part, limit))
    };
    let groups =
        snapshot.containers.iter().filter_map(|row| near(row).map(|(part, limit)| (part, row, limit)));
    let mut groups: Vec<_> = groups.collect();
    groups.sort_by(|a, b| b.0.total_cmp(&a.0));
    groups.into_iter().take(most).map(|(_, row, limit)| (row, limit)).collect()
}
