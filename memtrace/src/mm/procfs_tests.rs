//! Parsers of /proc files against samples, hostile names and random bytes, and the reader against this process.

use proptest::prelude::*;

use super::*;

#[test]
fn a_name_may_hold_anything() {
    let line = b"42 (a) b (c)\n) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 1 2 3\n";
    let stat = parse_stat(line).unwrap();
    assert_eq!(stat.comm, b"a) b (c)\n");
    assert_eq!((stat.state, stat.start_ticks), (b'S', 98765));
}

#[test]
fn what_is_missing_is_named() {
    for (line, what) in [
        (&b"42 S 1"[..], "name"),
        (b"42 (x S 1", "end of the name"),
        (b"42 )x( S", "name"),
        (b"42 (x)", "state"),
        (b"42 (x) S 1 2", "start time"),
    ] {
        let Err(Error::Malformed { what: found, .. }) = parse_stat(line) else { panic!("{line:?} was read") };
        assert_eq!(found, what);
    }
    assert!(matches!(parse_statm(b"1 2"), Err(Error::Malformed { what: "shared", .. })));
}

#[test]
fn status_takes_what_is_there() {
    let status = parse_status(b"Name:\ta:b\nUid:\t1000\t0\t0\t0\nRssAnon:\t    1234 kB\nVmPTE:\t 8 kB\n:\n");
    assert_eq!((status.uid, status.rss_anon_kib, status.page_tables_kib), (Some(1000), Some(1234), Some(8)));
    assert_eq!(status.rss_file_kib, None);
}

#[test]
fn cgroup_paths_keep_their_colons() {
    let lines = parse_cgroup(b"9:name=systemd:/\n4:memory,hugetlb:/a:b/c\n0::/x y\nrubbish\n");
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1].controllers, b"memory,hugetlb");
    assert_eq!(lines[1].path, b"/a:b/c");
    assert_eq!((lines[2].hierarchy, lines[2].path.as_slice()), (0, &b"/x y"[..]));
}

/// This process exists; the pid `u32::MAX` never does.
#[test]
fn the_running_process_is_read() {
    let procfs = Procfs::new("/proc");
    let own = std::process::id();
    assert!(procfs.pids().unwrap().contains(&own));
    assert!(b"RS".contains(&procfs.stat(own).unwrap().state), "the main thread runs or waits");
    let statm = procfs.statm(own).unwrap();
    assert!(statm.resident > 0 && statm.size >= statm.resident);
    assert!(procfs.status(own).unwrap().rss_anon_kib.unwrap() > 0);
    assert!(matches!(procfs.stat(u32::MAX), Err(Error::Gone)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse_stat(&bytes);
        let _ = parse_statm(&bytes);
        parse_status(&bytes);
        parse_cgroup(&bytes);
    }

    #[test]
    fn any_name_is_read_back(comm in prop::collection::vec(any::<u8>(), 0..16), start in any::<u64>()) {
        let mut line = b"7 (".to_vec();
        line.extend_from_slice(&comm);
        line.extend_from_slice(format!(") S{} {start} 0\n", " 1".repeat(18)).as_bytes());
        let stat = parse_stat(&line).unwrap();
        prop_assert_eq!(stat.comm, comm);
        prop_assert_eq!(stat.start_ticks, start);
    }
}
