//! The charge and the limit of a memory cgroup, from cgroupfs.
//!
//! Input: a [`Hierarchy`] and a path. Output: numbers, `None` where the file is missing. Formats: the kernel's
//! Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.

mod gauges;

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

pub use self::gauges::Gauges;
use crate::{
    cgroup::hierarchy::{Hierarchy, Version},
    text::escape,
    units::Bytes,
};

/// A v1 limit of at least this many bytes means no limit: `PAGE_COUNTER_MAX` is i64::MAX rounded down to a page.
const V1_UNLIMITED: u64 = i64::MAX as u64 - 0xffff;

/// A limit and its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// The limit.
    pub bytes: Bytes,
    /// The cgroup that has the limit: this one or an ancestor.
    pub owner: String,
}

/// Usage of a cgroup, descendants included.
pub fn usage(hierarchy: &Hierarchy, path: &[u8]) -> Option<Bytes> {
    read_number(&usage_file(hierarchy, path)?).map(Bytes)
}

/// The file with the usage.
pub fn usage_file(hierarchy: &Hierarchy, path: &[u8]) -> Option<PathBuf> {
    let name = match hierarchy.version {
        Version::V1 => "memory.usage_in_bytes",
        Version::V2 => "memory.current",
    };
    Some(hierarchy.directory(path)?.join(name))
}

/// The file with the highest usage so far, if the kernel records it (v2: since 5.19).
pub fn watermark_file(hierarchy: &Hierarchy, path: &[u8]) -> Option<PathBuf> {
    let name = match hierarchy.version {
        Version::V1 => "memory.max_usage_in_bytes",
        Version::V2 => "memory.peak",
    };
    Some(hierarchy.directory(path)?.join(name))
}

/// The cgroup's own limit; `None` when it has none or cannot be read.
pub fn own_limit(hierarchy: &Hierarchy, path: &[u8]) -> Option<Bytes> {
    let directory = hierarchy.directory(path)?;
    match hierarchy.version {
        Version::V1 => {
            read_number(&directory.join("memory.limit_in_bytes")).filter(|limit| *limit < V1_UNLIMITED)
        }
        // `max` is not a number, so it gives `None`.
        Version::V2 => read_number(&directory.join("memory.max")),
    }
    .map(Bytes)
}

/// The lowest limit that `own` returns for the cgroup and its ancestors, with its owner.
pub fn lowest(path: &[u8], mut own: impl FnMut(&[u8]) -> Option<Bytes>) -> Option<Limit> {
    let mut lowest: Option<(Bytes, &[u8])> = None;
    let mut path = path;
    loop {
        if let Some(bytes) = own(path)
            && lowest.is_none_or(|(limit, _)| bytes < limit)
        {
            lowest = Some((bytes, path));
        }
        let Some(slash) = path.iter().rposition(|byte| *byte == b'/').filter(|_| path != b"/") else {
            return lowest.map(|(bytes, owner)| Limit { bytes, owner: escape(owner) });
        };
        path = path.get(..slash.max(1)).unwrap_or(b"/");
    }
}

/// How often the group itself ran out of memory (`oom` of `memory.events.local`, v2); v1 has no file for it.
pub fn oom_events(hierarchy: &Hierarchy, path: &[u8]) -> Option<u64> {
    match hierarchy.version {
        Version::V1 => None,
        Version::V2 => {
            let text = fs::read_to_string(hierarchy.directory(path)?.join("memory.events.local")).ok()?;
            flat_keyed(&text).get("oom").copied()
        }
    }
}

/// Parses `key value` lines; skips others.
fn flat_keyed(text: &str) -> HashMap<&str, u64> {
    text.lines()
        .filter_map(|line| {
            let (key, value) = line.split_once(' ')?;
            Some((key, value.trim().parse().ok()?))
        })
        .collect()
}

fn read_number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Bytes, Hierarchy, Limit, Version, flat_keyed, lowest, oom_events, own_limit, usage};

    pub(super) fn tree(version: Version, files: &[(&str, &str)]) -> (tempfile::TempDir, Hierarchy) {
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
    fn the_lowest_limit_on_the_way_up_counts() {
        let (_dir, v2) = tree(
            Version::V2,
            &[
                ("a/memory.max", "67108864\n"),
                ("a/b/memory.max", "max\n"),
                ("a/b/memory.current", "4096\n"),
                ("a/b/memory.events.local", "low 0\noom 3\noom_kill 1\n"),
            ],
        );
        assert_eq!(usage(&v2, b"/a/b"), Some(Bytes(4096)));
        assert_eq!(own_limit(&v2, b"/a/b"), None);
        assert_eq!(
            lowest(b"/a/b", |path| own_limit(&v2, path)),
            Some(Limit { bytes: Bytes(64 << 20), owner: "/a".into() })
        );
        assert_eq!(oom_events(&v2, b"/a/b"), Some(3));
        assert_eq!(lowest(b"/nowhere", |path| own_limit(&v2, path)), None);
    }

    #[test]
    fn v1_says_no_limit_with_a_number() {
        let (_dir, v1) = tree(
            Version::V1,
            &[
                ("memory.limit_in_bytes", "9223372036854771712\n"),
                ("a/memory.limit_in_bytes", "1048576\n"),
                ("a/memory.usage_in_bytes", "77\n"),
            ],
        );
        assert_eq!(own_limit(&v1, b"/"), None);
        assert_eq!(lowest(b"/a", |path| own_limit(&v1, path)).unwrap().bytes, Bytes(1 << 20));
        assert_eq!(usage(&v1, b"/a"), Some(Bytes(77)));
        assert_eq!(oom_events(&v1, b"/a"), None);
    }

    #[test]
    fn odd_lines_are_passed_over() {
        assert_eq!(flat_keyed("a 1\nb\nc x\n 2\n").len(), 2);
    }
}
