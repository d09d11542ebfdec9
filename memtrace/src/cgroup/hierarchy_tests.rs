//! Hierarchies of v1, hybrid, v2 and container mounts; paths and ids in a tree of plain directories.

use std::fs;

use proptest::prelude::*;

use super::*;

const HYBRID: &[u8] = b"\
29 22 0:25 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755\n\
30 29 0:26 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw\n\
34 29 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:15 - cgroup cgroup rw,cpu,cpuacct\n\
36 29 0:32 / /sys/fs/cgroup/memory rw shared:17 master:3 - cgroup cgroup rw,memory\n";

fn line(hierarchy: u32, controllers: &str, path: &str) -> CgroupLine {
    CgroupLine { hierarchy, controllers: controllers.into(), path: path.into() }
}

#[test]
fn hybrid_hosts_account_memory_in_v1() {
    let found = candidates(HYBRID);
    assert_eq!(found[0].version, Version::V1);
    assert_eq!(found[0].mount, Path::new("/sys/fs/cgroup/memory"));
    assert_eq!(found[1].version, Version::V2);
    let lines = [line(0, "", "/u"), line(5, "cpu,cpuacct", "/c"), line(4, "hugetlb,memory", "/m")];
    assert_eq!(found[0].path_of(&lines), Some(&b"/m"[..]));
    assert_eq!(found[1].path_of(&lines), Some(&b"/u"[..]));
}

#[test]
fn a_part_of_a_hierarchy_shows_only_its_own_paths() {
    let mount = parse_mount(b"36 29 0:32 /docker/abc /sys/fs/cgroup\\040x ro - cgroup2 cgroup rw").unwrap();
    assert_eq!(mount.mount, Path::new("/sys/fs/cgroup x"));
    assert_eq!(mount.directory(b"/docker/abc/leaf").unwrap(), Path::new("/sys/fs/cgroup x/leaf"));
    assert_eq!(mount.directory(b"/other"), None);
}

#[test]
fn what_a_namespace_hides_has_no_directory() {
    let mount = candidates(HYBRID).remove(0);
    assert_eq!(mount.directory(b"/../../x"), None);
    assert_eq!(mount.directory(b"/..x").unwrap(), Path::new("/sys/fs/cgroup/memory/..x"));
}

/// A Kubernetes pod on v2: it has its own cgroup namespace, and the host's hierarchy mounted by a host path.
#[test]
fn the_hosts_hierarchy_in_a_container_is_preferred_and_paths_are_counted_from_it() {
    let mountinfo = b"\
40 30 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n\
41 30 0:26 /../../../.. /host/sys/fs/cgroup ro - cgroup2 cgroup rw\n";
    let mut found = candidates(mountinfo).remove(0);
    assert_eq!(found.mount, Path::new("/host/sys/fs/cgroup"));
    found.namespace = b"/kubepods.slice/podx.slice/own.scope".to_vec();
    assert_eq!(found.absolute(b"/"), b"/kubepods.slice/podx.slice/own.scope");
    assert_eq!(found.absolute(b"/below"), b"/kubepods.slice/podx.slice/own.scope/below");
    assert_eq!(found.absolute(b"/../../pody.slice/z.scope"), b"/kubepods.slice/pody.slice/z.scope");
    assert_eq!(found.absolute(b"/../../../system.slice"), b"/system.slice");
    assert_eq!(found.absolute(b"/../../../../../.."), b"/");
    found.namespace = b"/".to_vec();
    assert_eq!(found.absolute(b"/a/b"), b"/a/b");
}

#[test]
fn the_namespaces_root_is_found_by_our_own_process() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("pods/own/below")).unwrap();
    fs::write(dir.path().join("pods/own/below/cgroup.procs"), format!("1\n{}\n", std::process::id()))
        .unwrap();
    let mount = Hierarchy {
        version: Version::V2,
        mount: dir.path().into(),
        root: b"/".to_vec(),
        namespace: b"/".to_vec(),
    };
    assert_eq!(mount.namespace(b"/below").unwrap(), b"/pods/own");
    assert_eq!(mount.namespace(b"/").unwrap(), b"/pods/own/below");
    assert_eq!(mount.namespace(b"/elsewhere"), None);
}

#[test]
fn a_walk_finds_every_directory_by_its_inode() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("a/b c")).unwrap();
    fs::write(dir.path().join("a/memory.max"), "max").unwrap();
    let mount = Hierarchy {
        version: Version::V2,
        mount: dir.path().into(),
        root: b"/".to_vec(),
        namespace: b"/".to_vec(),
    };
    let found = mount.walk();
    assert_eq!(found.len(), 3);
    assert_eq!(found[&mount.id(b"/a/b c").unwrap()], b"/a/b c");
    assert_eq!(found[&mount.id(b"/").unwrap()], b"/");
}

#[test]
fn names_join_from_the_root_down() {
    assert_eq!(join(&[b"leaf", b"mid\n", b""]), "/mid\\u{a}/leaf");
    assert_eq!(join(&[b"/"]), "/");
    assert_eq!(join(&[]), "/");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_mountinfo_is_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        candidates(&bytes);
    }

    #[test]
    fn escapes_are_undone(path in prop::collection::vec(any::<u8>(), 0..30)) {
        let escaped: Vec<u8> = path.iter().flat_map(|byte| format!("\\{byte:03o}").into_bytes()).collect();
        prop_assert_eq!(unescape(&escaped), path);
    }
}

#[test]
fn a_cgroup_is_within_itself_and_what_is_above_it_not_beside_its_name() {
    for (cgroup, outer, within) in [
        ("/a/b", "/a/b", true),
        ("/a/b/c", "/a/b", true),
        ("/a/bc", "/a/b", false),
        ("/a", "/a/b", false),
        ("/a", "/", true),
        ("/", "/", true),
    ] {
        assert_eq!(is_within(cgroup, outer), within, "{cgroup} in {outer}");
    }
}
