//! Which charges are read first, and the rows of groups with a limit.

use std::{collections::HashMap, fs};

use super::*;
use crate::{cgroup::hierarchy::Version, snapshot::ContainerRow};

fn row(cgroup: &str, usage: u64) -> ContainerRow {
    ContainerRow {
        usage_bytes: Some(Bytes(usage)),
        processes: 1,
        rss_bytes: Bytes(usage),
        ..ContainerRow::empty(cgroup.to_owned())
    }
}

#[test]
fn all_of_a_big_node_are_read_in_turn_and_what_moves_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut rows: Vec<ContainerRow> = (0..300).map(|n| row(&format!("/c{n}"), 1 << 20)).collect();
    for row in &rows {
        fs::create_dir(dir.path().join(&row.cgroup[1..])).unwrap();
    }
    let hierarchy = Hierarchy {
        version: Version::V2,
        mount: dir.path().into(),
        root: b"/".to_vec(),
        namespace: b"/".to_vec(),
    };
    let (journal, mut charges) = (Journal::live(), Charges::default());
    let names: Vec<String> = rows.iter().map(|row| row.cgroup.clone()).collect();
    let paths: HashMap<String, Vec<u8>> =
        names.iter().map(|name| (name.clone(), name.clone().into_bytes())).collect();
    let mut tick = |rows: &mut [ContainerRow], second: u64| {
        charges.fill(&journal, Some(&hierarchy), &paths, rows, second * 1_000_000_000);
        rows.iter().filter(|row| row.charge_age_seconds == Some(0.0)).count()
    };
    assert_eq!(tick(&mut rows, 1), A_TICK);
    assert_eq!(tick(&mut rows, 2), A_TICK);
    rows[0].usage_bytes = Some(Bytes(1 << 30));
    assert_eq!(tick(&mut rows, 3), 300 - 2 * A_TICK + 1, "those that are left, and the one that moved");
    assert_eq!(rows[0].charge_age_seconds, Some(0.0));
    assert!(rows.iter().all(|row| row.charge.is_some() && row.cgroup_id.is_some()));
    // All were read and nothing changes: only the oldest few are read, each before it is much older than thirty
    // seconds.
    assert_eq!(tick(&mut rows, 4), CALM);
    let read: Vec<usize> = (5..80).map(|second| tick(&mut rows, second)).collect();
    assert!(read.iter().all(|read| (CALM..=A_TICK).contains(read)), "{read:?}");
    assert!(rows.iter().all(|row| row.charge_age_seconds.unwrap() <= 33.0));
    // All of them change.
    rows.iter_mut().for_each(|row| row.usage_bytes = Some(Bytes(2 << 30)));
    assert_eq!(tick(&mut rows, 80), A_TICK);
}

#[test]
fn a_group_sums_up_what_is_below_it_and_nothing_beside_it() {
    let rows = [row("/pods/a/x", 1), row("/pods/a/y", 2), row("/pods/ab/z", 4), row("/other", 8)];
    let groups = group_rows(&[b"/pods/a".to_vec(), b"/pods".to_vec()], &rows);
    let rss = |name: &str| groups.iter().find(|row| row.cgroup == name).unwrap().rss_bytes.0;
    assert_eq!((rss("/pods/a"), rss("/pods")), (3, 7));
    assert!(groups.iter().all(|row| row.is_group));
}

#[test]
fn the_paths_above_leave_the_root_out() {
    let above: Vec<&[u8]> = ancestors(b"/a/bc/d").collect();
    assert_eq!(above, [&b"/a"[..], b"/a/bc"]);
    assert_eq!(ancestors(b"/").count() + ancestors(b"").count() + ancestors(b"/a").count(), 0);
}
