//! How much of the node's cgroups is visible from here.
//!
//! The root directory of a mounted hierarchy -> a sentence, if something is hidden. Must not guess what is hidden.
//!
//! In a cgroup namespace a new mount starts at the namespace's root, and mountinfo shows it as `/`, like a whole one. The
//! directory's inode tells them apart: the kernel gives 1 to the root of each hierarchy, and to no other directory.

use std::{fs, os::unix::fs::MetadataExt as _};

use super::hierarchy::Hierarchy;
use crate::text::escape;

/// Inode of the root directory of each hierarchy.
const ROOT: u64 = 1;

/// Why cgroups of the node are hidden; `None` if the mount shows all of them.
pub fn hidden(hierarchy: &Hierarchy) -> Option<String> {
    let inode = fs::metadata(&hierarchy.mount).ok().map(|metadata| metadata.ino());
    judge(hierarchy, inode)
}

/// The same, from the inode of the mounted directory; `None` if it cannot be read.
fn judge(hierarchy: &Hierarchy, inode: Option<u64>) -> Option<String> {
    let mount = hierarchy.mount.display();
    let part = match inode {
        Some(ROOT) => return None,
        None => return Some(format!("{mount} cannot be read: limits and usage of all cgroups are unknown")),
        // A part of the hierarchy, mounted from outside of the namespace.
        Some(_) if hierarchy.root != b"/" => format!("only {} is mounted there", escape(&hierarchy.root)),
        Some(_) => "it was mounted in the cgroup namespace of a container".to_owned(),
    };
    Some(format!(
        "{mount} does not show the cgroups of the whole node ({part}), so limits and usage of the others are unknown: \
         mount the node's /sys/fs/cgroup there (a hostPath volume in a pod; `--cgroupns=host` with docker or podman)"
    ))
}

#[cfg(test)]
mod tests {
    use super::judge;
    use crate::cgroup::hierarchy::{Hierarchy, Version};

    fn mounted(root: &str) -> Hierarchy {
        Hierarchy {
            version: Version::V2,
            mount: "/sys/fs/cgroup".into(),
            root: root.into(),
            namespace: b"/".to_vec(),
        }
    }

    #[test]
    fn the_root_of_the_hierarchy_hides_nothing() {
        assert_eq!(judge(&mounted("/"), Some(1)), None);
    }

    #[test]
    fn the_root_of_a_namespace_is_not_the_nodes() {
        let why = judge(&mounted("/"), Some(4711)).unwrap();
        assert!(
            why.contains("in the cgroup namespace of a container") && why.contains("--cgroupns=host"),
            "{why}"
        );
    }

    #[test]
    fn a_mounted_part_is_named() {
        let why = judge(&mounted("/docker/a\nb"), Some(4711)).unwrap();
        assert!(why.contains("only /docker/a\\u{a}b is mounted there"), "{why}");
    }

    #[test]
    fn a_root_that_cannot_be_read_is_unknown_and_not_whole() {
        assert!(judge(&mounted("/"), None).unwrap().contains("unknown"));
    }
}
