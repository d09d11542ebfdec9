//! Fuzz targets for what the kernel and container runtimes say: the kernel log, files of /proc, names, ELF headers.
//!
//! Bytes -> nothing, or a panic, which is a finding. Must not open a file.

use jiff::Timestamp;
use prost::Message as _;

use crate::{
    cgroup::{hierarchy, pressure},
    container::{
        name::Name,
        sources::{
            cri::{
                self,
                messages::{ContainerStatus, ListContainersResponse, ListPodSandboxResponse},
            },
            docker, kubelet, oci,
        },
    },
    elf::{Head, PT_LOAD},
    mm::procfs,
    model::node,
    oom::{
        kernel_log::{self as log, Boot, LoggedKill, Reader},
        record::OomRecord,
    },
    reader::tmpfs,
};

/// Lines of the kernel log: each kill in them becomes a record that is the same after it was stored and read.
pub fn kernel_log(bytes: &[u8]) {
    let mut reader = Reader::default();
    let lines = bytes.split(|byte| *byte == b'\n');
    let mut kills: Vec<LoggedKill> = lines.filter_map(|line| reader.take(line)).collect();
    kills.extend(reader.flush());
    let boot = Boot {
        id: "0f0e".to_owned(),
        now: (Timestamp::UNIX_EPOCH, 1 << 40),
        suspended_ns: 5,
        cgroup_version: Some(2),
        page_size: 4096,
    };
    for kill in &kills {
        let record = log::record(kill, &boot);
        assert!(is_plain(&record.victim.task.comm), "a name is not escaped");
        let stored = serde_json::to_vec(&record).unwrap_or_default();
        let read: Option<OomRecord> = serde_json::from_slice(&stored).ok();
        assert!(read.as_ref() == Some(&record), "a record is another one after it was stored");
    }
}

/// A file of /proc; the first byte says which.
pub fn proc(bytes: &[u8]) {
    let Some((file, bytes)) = bytes.split_first() else { return };
    match file % 8 {
        0 => drop(procfs::parse_stat(bytes)),
        1 => drop(procfs::parse_statm(bytes)),
        2 => drop(procfs::parse_status(bytes)),
        3 => {
            let lines = procfs::parse_cgroup(bytes);
            let bytes_of_paths: usize = lines.iter().map(|line| line.path.len()).sum();
            assert!(bytes_of_paths <= bytes.len(), "paths are longer than their file");
        }
        4 => {
            let mounts = bytes.split(|byte| *byte == b'\n').filter_map(hierarchy::parse_mount);
            assert!(mounts.map(|mount| mount.root.len()).sum::<usize>() <= bytes.len(), "roots grew");
        }
        5 => drop(tmpfs::parse(bytes)),
        6 => drop(node::parse(bytes, bytes)),
        _ => {
            let shares = pressure::parse(bytes);
            let is_share = |share: Option<f64>| share.is_none_or(|share| (0.0..=1.0).contains(&share));
            assert!(is_share(shares.0) && is_share(shares.1), "a share is above all");
            let _ = pressure::full_total(bytes);
        }
    }
}

/// An answer of a container runtime; the first byte says of which, and to what.
pub fn names(bytes: &[u8]) {
    let Some((source, bytes)) = bytes.split_first() else { return };
    let (containers, pods) = match source % 7 {
        0 => (docker::parse(bytes, "docker").unwrap_or_default(), Vec::new()),
        1 => kubelet::parse(bytes).unwrap_or_default(),
        2 => (oci::parse(bytes).map(|name| ("bundle".to_owned(), name)).into_iter().collect(), Vec::new()),
        3 => {
            let containers = ListContainersResponse::decode(bytes).unwrap_or_default();
            cri::names_in(&containers, &ListPodSandboxResponse::default(), "containerd")
        }
        4 => {
            let sandboxes = ListPodSandboxResponse::decode(bytes).unwrap_or_default();
            cri::names_in(&ListContainersResponse::default(), &sandboxes, "containerd")
        }
        5 => {
            let end = ContainerStatus::decode(bytes).ok().and_then(|status| cri::end(&status));
            return assert!(end.and_then(|end| end.reason).is_none_or(|reason| is_plain(&reason)));
        }
        _ => return drop(docker::end(bytes)),
    };
    for (id, name) in containers.iter().chain(&pods) {
        let Name { namespace, pod, pod_uid, container, container_id, image, runtime, .. } = name;
        let texts = [namespace, pod, pod_uid, container, container_id, image, runtime];
        for text in texts.into_iter().flatten().chain([id]) {
            assert!(is_plain(text), "a name is not escaped");
            assert!(text.chars().count() <= 512, "a name is longer than any that is kept");
        }
    }
}

/// The head of an ELF file.
pub fn elf(bytes: &[u8]) {
    let read = |offset: u64, len: u64| {
        let start = usize::try_from(offset).ok()?;
        bytes.get(start..start.checked_add(usize::try_from(len).ok()?)?)
    };
    let Some(head) = Head::read(read) else { return };
    for segment in head.of_kind(PT_LOAD) {
        if let Some((offset, rest)) = head.place(segment.address) {
            assert!(rest > 0, "an address is at the end of its segment");
            let _ = head.address(offset);
        }
        let _ = (head.address(segment.offset), head.place(u64::MAX));
    }
}

/// Whether a text can be printed.
fn is_plain(text: &str) -> bool {
    !text.chars().any(char::is_control)
}
