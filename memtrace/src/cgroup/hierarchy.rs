//! The cgroup hierarchy that has the memory controller: its mount point, and the ids of its directories.
//!
//! Input: mountinfo and cgroupfs. Output: [`Hierarchy`], paths and ids. On v1 and hybrid hosts this is the `memory`
//! hierarchy, elsewhere the unified one. A cgroup's id is the inode number of its directory (64-bit kernels).

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs, io,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use crate::{
    mm::procfs::{CgroupLine, Procfs},
    text::escape,
};

/// The most directories that one walk visits; the ids of further ones stay unknown.
const MAX_DIRECTORIES: usize = 100_000;
/// The greatest depth that one walk visits.
const MAX_DEPTH: usize = 64;

/// Version of the memory controller's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A `memory` hierarchy of its own (also on hybrid hosts).
    V1,
    /// The unified hierarchy.
    V2,
}

/// The mounted hierarchy that accounts memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// The version of its interface.
    pub version: Version,
    /// Where it is mounted.
    pub mount: PathBuf,
    /// The directory of the hierarchy that is mounted there: `/` unless a part of it was bind-mounted.
    pub root: Vec<u8>,
    /// The root of our cgroup namespace, to which paths in `/proc/PID/cgroup` are relative. `/` outside containers.
    pub namespace: Vec<u8>,
}

impl Hierarchy {
    /// The version as a number.
    pub fn version_number(&self) -> u8 {
        match self.version {
            Version::V1 => 1,
            Version::V2 => 2,
        }
    }

    /// Finds it in `<proc>/self/mountinfo`. `None` when the memory controller is not mounted anywhere.
    ///
    /// # Errors
    /// When mountinfo cannot be read.
    pub fn find(proc: &Path) -> io::Result<Option<Self>> {
        let mountinfo = fs::read(proc.join("self/mountinfo"))?;
        let candidates = candidates(&mountinfo);
        let accounts = |found: &&Self| match found.version {
            Version::V1 => true,
            Version::V2 => fs::read_to_string(found.mount.join("cgroup.controllers"))
                .is_ok_and(|controllers| controllers.split_whitespace().any(|name| name == "memory")),
        };
        let Some(mut found) = candidates.iter().find(accounts).cloned() else { return Ok(None) };
        if found.root.starts_with(b"/..") {
            // The host's hierarchy in a container: the mount is above our namespace's root, and all paths are relative
            // to the mount.
            found.root = b"/".to_vec();
            let lines = Procfs::new(proc).cgroup(std::process::id()).unwrap_or_default();
            found.namespace =
                found.namespace(found.path_of(&lines).unwrap_or(b"/")).unwrap_or(found.namespace);
        }
        Ok(Some(found))
    }

    /// The path of a process's memory cgroup, from its `/proc/PID/cgroup`.
    pub fn path_of<'a>(&self, lines: &'a [CgroupLine]) -> Option<&'a [u8]> {
        let wanted = |line: &&CgroupLine| match self.version {
            Version::V1 => line.controllers.split(|byte| *byte == b',').any(|name| name == b"memory"),
            Version::V2 => line.hierarchy == 0 && line.controllers.is_empty(),
        };
        lines.iter().find(wanted).map(|line| line.path.as_slice())
    }

    /// The full path of a cgroup from its path in `/proc/PID/cgroup`, which is relative to our namespace's root and may
    /// go up from there by `/..`.
    pub fn absolute(&self, path: &[u8]) -> Vec<u8> {
        if self.namespace == b"/" {
            return path.to_vec();
        }
        let mut names: Vec<&[u8]> = Vec::new();
        for name in self.namespace.split(|byte| *byte == b'/').chain(path.split(|byte| *byte == b'/')) {
            match name {
                b"" => {}
                b".." => drop(names.pop()),
                name => names.push(name),
            }
        }
        [b"/", names.join(&b'/').as_slice()].concat()
    }

    /// The root of our cgroup namespace: our full path without our path inside the namespace.
    fn namespace(&self, own: &[u8]) -> Option<Vec<u8>> {
        let pid = std::process::id().to_string();
        let is_ours = |path: &Vec<u8>| {
            let members = self
                .directory(path)
                .and_then(|directory| fs::read_to_string(directory.join("cgroup.procs")).ok());
            members.is_some_and(|members| members.lines().any(|line| line == pid))
        };
        let whole = self.walk().into_values().find(is_ours)?;
        let root = whole.strip_suffix(own.strip_suffix(b"/").unwrap_or(own))?;
        Some(if root.is_empty() { b"/".to_vec() } else { root.to_vec() })
    }

    /// The directory of a cgroup, when it is visible under this mount.
    pub fn directory(&self, path: &[u8]) -> Option<PathBuf> {
        let below = if self.root == b"/" { path } else { path.strip_prefix(self.root.as_slice())? };
        let below = below.strip_prefix(b"/").unwrap_or(below);
        // `/..` stands for directories that a cgroup namespace hides.
        if below.split(|byte| *byte == b'/').any(|name| name == b"..") {
            return None;
        }
        Some(self.mount.join(OsStr::from_bytes(below)))
    }

    /// The id of a cgroup.
    pub fn id(&self, path: &[u8]) -> Option<u64> {
        fs::metadata(self.directory(path)?).ok().map(|metadata| metadata.ino())
    }

    /// All cgroups that exist now: id to path.
    pub fn walk(&self) -> HashMap<u64, Vec<u8>> {
        let mut found = HashMap::new();
        let root = if self.root == b"/" { Vec::new() } else { self.root.clone() };
        let mut open = vec![(self.mount.clone(), root, 0)];
        while let Some((directory, path, depth)) = open.pop() {
            // A cgroup may be removed during the walk; skip it.
            let Ok(metadata) = fs::metadata(&directory) else { continue };
            let shown = if path.is_empty() { b"/".to_vec() } else { path.clone() };
            found.insert(metadata.ino(), shown);
            if depth >= MAX_DEPTH || found.len() >= MAX_DIRECTORIES {
                continue;
            }
            let Ok(entries) = fs::read_dir(&directory) else { continue };
            for entry in entries.flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    let name = entry.file_name().into_vec();
                    open.push((entry.path(), [&path, &b"/"[..], &name].concat(), depth + 1));
                }
            }
        }
        found
    }
}

/// Whether a cgroup equals another one or is below it; both paths are escaped.
pub fn is_within(cgroup: &str, outer: &str) -> bool {
    outer == "/" || cgroup.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The path made of directory names from a cgroup up to the root (whose name is empty or `/`), escaped.
pub fn join(names: &[&[u8]]) -> String {
    let mut path = String::new();
    for name in names.iter().rev().filter(|name| !name.is_empty() && **name != b"/") {
        path.push('/');
        path.push_str(&escape(name));
    }
    if path.is_empty() { "/".to_owned() } else { path }
}

/// The cgroup mounts of a mountinfo file, v1 memory first; within a version first mounts from above our cgroup
/// namespace, then whole hierarchies, then parts.
fn candidates(mountinfo: &[u8]) -> Vec<Hierarchy> {
    let mut found: Vec<_> = mountinfo.split(|byte| *byte == b'\n').filter_map(parse_mount).collect();
    found.sort_by_key(|hierarchy| {
        let is_above = hierarchy.root.starts_with(b"/..");
        (hierarchy.version == Version::V2, !is_above, hierarchy.root != b"/")
    });
    found
}

/// `34 25 0:30 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory` (proc(5)): optional fields
/// end at `-`; space, tab, newline and backslash in paths are octal escapes.
pub(crate) fn parse_mount(line: &[u8]) -> Option<Hierarchy> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let separator = fields.iter().position(|field| *field == b"-")?;
    let (root, mount) = (fields.get(3)?, fields.get(4)?);
    let options = fields.get(separator + 3)?;
    let version = match *fields.get(separator + 1)? {
        b"cgroup" if options.split(|byte| *byte == b',').any(|option| option == b"memory") => Version::V1,
        b"cgroup2" => Version::V2,
        _ => return None,
    };
    Some(Hierarchy {
        version,
        mount: PathBuf::from(std::ffi::OsString::from_vec(unescape(mount))),
        root: unescape(root),
        namespace: b"/".to_vec(),
    })
}

/// An unescaped field of mountinfo, where space, tab, newline and backslash are octal escapes such as `\040` (proc(5)).
pub fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let octal =
            tail.get(..3).filter(|digits| *first == b'\\' && digits.iter().all(|d| (b'0'..b'8').contains(d)));
        if let Some(digits) = octal {
            let value = digits.iter().fold(0_u32, |value, digit| value * 8 + u32::from(digit - b'0'));
            out.push(value as u8);
            rest = tail.get(3..).unwrap_or_default();
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    out
}

#[cfg(test)]
#[path = "hierarchy_tests.rs"]
mod tests;
