//! Cgroups that come and go, against the directories that they are.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use memtrace::{
    container::cgroup::Hierarchy, ingest::decode::Event, mm::procfs::Procfs, probe::support::Without,
};

use crate::fixture::{cgroup::Cgroup, tracer::Tracer};

#[test]
fn a_cgroup_comes_and_goes_with_its_id_hierarchy_and_path() {
    let mut tracer = Tracer::start(Without::default());
    let group = Cgroup::new();
    let inode = fs::metadata(group.directory()).unwrap().ino();
    let path = group.path().as_bytes().to_vec();
    drop(group);
    let of = |event: &Event| match event {
        Event::CgroupMkdir(record) => Some((true, record.id, **record)),
        Event::CgroupRmdir(record) => Some((false, record.id, **record)),
        _ => None,
    };
    let events = tracer.read_until("the end of the cgroup", |event| {
        of(event).is_some_and(|(came, id, _)| !came && id == inode)
    });
    let seen: Vec<_> = events.iter().filter_map(of).filter(|(_, id, _)| *id == inode).collect();
    assert_eq!(seen.iter().map(|(came, ..)| *came).collect::<Vec<_>>(), [true, false]);
    let hierarchy = Hierarchy::find(Path::new("/proc")).unwrap().unwrap();
    let lines = Procfs::new("/proc").cgroup(std::process::id()).unwrap();
    let ours = lines.iter().find(|line| hierarchy.path_of(std::slice::from_ref(line)).is_some()).unwrap();
    for (_, _, record) in seen {
        assert_eq!(record.path[..record.path_len as usize], path);
        assert_eq!(record.hierarchy, ours.hierarchy);
    }
}
