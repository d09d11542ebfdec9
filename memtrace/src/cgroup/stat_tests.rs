//! Charges of v1 and v2 in trees of plain files, and of this host's own cgroups.

use std::{fs, path::Path};

use proptest::prelude::*;

use super::*;

fn tree(version: Version, files: &[(&str, &[u8])]) -> (tempfile::TempDir, Hierarchy) {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let hierarchy =
        Hierarchy { version, mount: dir.path().into(), root: b"/".to_vec(), namespace: b"/".to_vec() };
    (dir, hierarchy)
}

#[test]
fn v1_counts_the_whole_group() {
    let (_dir, v1) = tree(
        Version::V1,
        &[
            ("a/memory.usage_in_bytes", b"1000\n"),
            ("a/memory.max_usage_in_bytes", b"1200\n"),
            ("a/memory.kmem.usage_in_bytes", b"70\n"),
            ("a/memory.failcnt", b"3\n"),
            ("a/memory.oom_control", b"oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
            (
                "a/memory.stat",
                b"cache 9\nrss 8\ntotal_cache 500\ntotal_rss 400\ntotal_shmem 50\ntotal_swap 7\n\
                  workingset_refault_file 1\ntotal_inactive_file 300\ntotal_active_file 150\n\
                  total_workingset_refault_file 6\n",
            ),
        ],
    );
    let reading = Reader::default().read(&v1, b"/a").unwrap();
    let charge = reading.charge;
    assert_eq!(Some(reading.cgroup_id), v1.id(b"/a"));
    let kinds = [charge.anon_bytes, charge.shmem_bytes, charge.active_file_bytes, charge.inactive_file_bytes];
    assert_eq!(kinds, [400, 50, 150, 300].map(|bytes| Some(Bytes(bytes))));
    assert_eq!((charge.working_set_bytes, charge.file_refaults), (Some(Bytes(700)), Some(6)));
    assert_eq!((charge.peak_bytes, charge.swap_bytes), (Some(Bytes(1200)), Some(Bytes(7))));
    assert_eq!((charge.max_events, charge.oom_kills, charge.oom_events), (Some(3), Some(2), None));
    assert_eq!((charge.kernel(), charge.remainder()), (Some(Bytes(70)), Some(Bytes(30))));
}

#[test]
fn v2_tells_its_own_hits_from_those_below() {
    let (_dir, v2) = tree(
        Version::V2,
        &[
            ("a/memory.current", b"1000\n"),
            (
                "a/memory.stat",
                b"anon 400\nfile 200\nkernel 80\nsock 5\nshmem 60\ninactive_file 90\n\
                active_file 50\npagetables 11\nkernel_stack 12\npercpu 13\nvmalloc 14\nslab_reclaimable 15\n\
                slab_unreclaimable 16\n",
            ),
            ("a/memory.events", b"low 0\nhigh 5\nmax 9\noom 4\noom_kill 3\noom_group_kill 0\n"),
            ("a/memory.events.local", b"low 0\nhigh 1\nmax 2\noom 1\noom_kill 0\n"),
            ("a/memory.pressure", b"some avg10=50.00 avg60=0 avg300=0 total=1\nfull avg10=0.00 total=1\n"),
            ("a/memory.swap.current", b"77\n"),
        ],
    );
    let charge = Reader::default().read(&v2, b"/a").unwrap().charge;
    assert_eq!((charge.max_events, charge.high_events, charge.oom_events), (Some(2), Some(1), Some(1)));
    assert_eq!(charge.oom_kills, Some(3));
    assert_eq!((charge.pressure_some10, charge.pressure_full10), (Some(0.5), Some(0.0)));
    assert_eq!((charge.swap_bytes, charge.peak_bytes), (Some(Bytes(77)), None));
    assert_eq!(charge.kernel(), Some(Bytes(85)));
    assert_eq!(charge.slab_unreclaimable_bytes, Some(Bytes(16)));
    assert_eq!(charge.working_set_bytes, Some(Bytes(910)));
}

#[test]
fn inactive_pages_read_later_than_the_usage_leave_nothing() {
    let (_dir, v2) =
        tree(Version::V2, &[("memory.current", b"10\n"), ("memory.stat", b"inactive_file 11\n")]);
    let charge = Reader::default().read(&v2, b"/").unwrap().charge;
    assert_eq!(charge.working_set_bytes, Some(Bytes(0)));
}

#[test]
fn a_cgroup_that_is_gone_has_no_reading_and_an_empty_one_no_figures() {
    let (dir, v2) = tree(Version::V2, &[]);
    fs::create_dir(dir.path().join("a")).unwrap();
    let mut reader = Reader::default();
    assert_eq!(reader.read(&v2, b"/a").unwrap().charge, Charge::default());
    assert_eq!(reader.read(&v2, b"/b"), None);
    assert_eq!(reader.read(&v2, b"/../x"), None);
}

/// The parts are read shortly after the total, so they must not exceed it by much.
#[test]
fn this_hosts_cgroups_add_up() {
    let Ok(Some(hierarchy)) = Hierarchy::find(Path::new("/proc")) else { return };
    let mut reader = Reader::default();
    for path in hierarchy.walk().into_values() {
        let Some(Reading { charge, .. }) = reader.read(&hierarchy, &path) else { continue };
        let Some(Bytes(usage)) = charge.usage_bytes else { continue };
        let parts = [charge.anon_bytes, charge.active_file_bytes, charge.inactive_file_bytes];
        let sum: u64 = parts.into_iter().flatten().map(|Bytes(bytes)| bytes).sum();
        // Counters are flushed every two seconds and batched per CPU.
        assert!(sum <= usage + usage / 4 + (64 << 20), "{path:?}: {charge:?}");
        assert!(charge.working_set_bytes.unwrap_or_default().0 <= usage);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_without_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut charge = Charge::default();
        kinds(&text, &mut charge);
        events(&text, &mut charge);
    }
}

/// What a reading costs: `cargo test -p memtrace --lib --release -- --ignored --nocapture a_reading_costs`.
#[test]
#[ignore = "a measurement"]
fn a_reading_costs() {
    let hierarchy = Hierarchy::find(Path::new("/proc")).unwrap().unwrap();
    let mut reader = Reader::default();
    let paths: Vec<Vec<u8>> = hierarchy.walk().into_values().collect();
    let begin = std::time::Instant::now();
    for path in paths.iter().cycle().take(2000) {
        reader.read(&hierarchy, path);
    }
    println!("{:?} for each of {} cgroups", begin.elapsed() / 2000, paths.len());
}
