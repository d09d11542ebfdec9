//! Programs whose memory is mapped from somewhere, or shared with children.

use memchr::memmem;
use memtrace::mm::region::{Backing, Region};

use super::{
    census::Census,
    fixture,
    workload::{Workload, program},
};

const MIB: u64 = 1 << 20;

#[test]
fn mapped_files_are_owned_by_the_file() {
    let workload = Workload::driven(program("file-mapper"), &["grow 32", "private 8"]);
    let census = Census::take(workload.pid());
    census.assert("file-mapper", &[]);
    fixture::write("file-mapper", &census);
    // Its regions, whatever the kernel has left of their pages.
    let name = format!("memtrace-workload-{}", workload.pid());
    let is_of_file = |region: &Region| matches!(&region.backing, Backing::File(file) if memmem::find(&file.path, name.as_bytes()).is_some());
    let regions: Vec<&Region> = census.regions.iter().filter(|region| is_of_file(region)).collect();
    let mapped: u64 = regions.iter().map(|region| region.end - region.start).sum();
    assert_eq!(mapped, 40 * MIB, "{regions:?}");
    for owned in census.owned.iter().filter(|owned| is_of_file(&census.regions[owned.region])) {
        let region = &census.regions[owned.region];
        let owner = (owned.owner.allocator, owned.owner.kind);
        // In a container the folder for temporary files can be a tmpfs.
        let expected = match region.is_shared {
            true => [("file", "shared mapping"), ("shmem", "tmpfs file")],
            false => [("file", "private mapping"), ("shmem", "tmpfs file")],
        };
        assert!(expected.contains(&owner), "{region:?}: {owner:?}");
    }
}

#[test]
fn shared_memory_is_owned_by_its_kind() {
    let workload = Workload::driven(program("shmem-user"), &["grow 32"]);
    let census = Census::take(workload.pid());
    census.assert("shmem-user", &[]);
    fixture::write("shmem-user", &census);
    for kind in ["shared anonymous", "memfd", "SysV segment"] {
        let bytes = census.resident.get(&("shmem", kind)).copied().unwrap_or_default();
        assert!(bytes >= 8 * MIB, "{kind}: {bytes}");
    }
}

#[test]
fn a_forked_child_has_the_owners_of_its_parent() {
    let workload = Workload::driven(program("forker"), &["grow 32", "fork 2", "touch 8"]);
    let census = Census::take(workload.pid());
    census.assert("forker", &[("glibc", "mmapped chunk", 30)]);
    let children = format!("/proc/{0}/task/{0}/children", workload.pid());
    let children = std::fs::read_to_string(children).unwrap();
    let child = children.split_whitespace().next().unwrap().parse().unwrap();
    Census::take(child).assert("forker's child", &[("glibc", "mmapped chunk", 30)]);
}
