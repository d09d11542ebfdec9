//! Programs whose memory is mapped from somewhere, or shared with children.

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
    let of = |kind| census.resident.get(&("file", kind)).copied().unwrap_or_default();
    // In a container the folder for temporary files can be a tmpfs.
    let tmpfs = census.resident.get(&("shmem", "tmpfs file")).copied().unwrap_or_default();
    assert!(of("shared mapping") + of("private mapping") + tmpfs >= 40 * MIB);
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
