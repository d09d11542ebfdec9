//! The tmpfs mounts in a process's mount namespace, with the bytes in each.
//!
//! Input: /proc. Output: mounts, fullest first. statfs on a tmpfs reads memory; the way to its mount may lead through a
//! file system that never answers, so this is for readers that may die.

use std::{
    collections::{HashSet, VecDeque},
    ffi::OsStr,
    fs::File,
    io::Read as _,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::{cgroup::hierarchy::unescape, foreign::Root, text::escape, units::Bytes};

/// A tmpfs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tmpfs {
    /// The mount point in the process's namespace.
    pub mount: String,
    /// Bytes in it.
    pub used_bytes: Bytes,
}

/// Mounts with fewer bytes are ignored.
const LEAST: u64 = 1 << 20;
/// The most mounts in a record.
const MOST: usize = 8;
/// The most mounts that are read.
const MOST_SEEN: usize = 256;
/// The most bytes of mountinfo that are read; a mount namespace may have 100,000 mounts.
const MOST_TEXT: u64 = 4 << 20;

/// The most groups whose mounts are remembered.
const MOST_GROUPS: usize = 64;

/// The mounts of groups that were near their limit, read from a process of each, because a group's mounts may disappear
/// with its last process.
#[derive(Clone, Debug, Default)]
pub struct KnownMounts(Arc<Mutex<ByGroup>>);

/// The least recently updated first.
type ByGroup = VecDeque<(String, Vec<Tmpfs>)>;

impl KnownMounts {
    /// Remembers the mounts of a group.
    pub fn put(&self, group: &str, mounts: Vec<Tmpfs>) {
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        groups.retain(|(known, _)| known != group);
        groups.push_back((group.to_owned(), mounts));
        if groups.len() > MOST_GROUPS {
            groups.pop_front();
        }
    }

    /// The remembered mounts of a group.
    pub fn of(&self, group: &str) -> Option<Vec<Tmpfs>> {
        let groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        groups.iter().find(|(known, _)| known == group).map(|(_, mounts)| mounts.clone())
    }
}

/// The mounts that may hold `shmem` bytes, the most likely first. A mount that others also fill holds more, one of
/// several holds less, and one with just that size is the most likely.
pub fn likely(mut mounts: Vec<Tmpfs>, shmem: Bytes) -> Vec<Tmpfs> {
    let least = LEAST.max(shmem.0 / 8);
    mounts.retain(|mount| mount.used_bytes.0 >= least);
    mounts.sort_by_key(|mount| mount.used_bytes.0.abs_diff(shmem.0));
    mounts.truncate(MOST);
    mounts
}

/// All mounts that are not empty; `None` when the process is gone or may not be read.
pub fn seen(proc: &Path, pid: u32) -> Option<Vec<Tmpfs>> {
    let process = proc.join(pid.to_string());
    let mut mountinfo = Vec::new();
    let file = File::open(process.join("mountinfo")).ok()?;
    file.take(MOST_TEXT).read_to_end(&mut mountinfo).ok().filter(|length| *length > 0)?;
    let root = Root::of(proc, pid).ok()?;
    let mut devices = HashSet::new();
    let (mut asked, mut answered) = (0, 0);
    let mut found: Vec<Tmpfs> = parse(&mountinfo)
        .into_iter()
        .filter(|(device, _)| devices.insert(device.to_vec()))
        .take(MOST_SEEN)
        .filter_map(|(_, mount)| {
            asked += 1;
            let held = root.at(Path::new(OsStr::from_bytes(&mount))).ok()?;
            let stat = rustix::fs::fstatvfs(held).ok()?;
            answered += 1;
            let used = stat.f_blocks.saturating_sub(stat.f_bfree).saturating_mul(stat.f_frsize);
            Some(Tmpfs { mount: escape(&mount), used_bytes: Bytes(used) })
        })
        .filter(|mount| mount.used_bytes.0 > 0)
        .collect();
    if answered == 0 && asked > 0 {
        return None; // no permission to read its root
    }
    found.sort_by_key(|mount| std::cmp::Reverse(mount.used_bytes));
    Some(found)
}

/// `36 35 98:0 /root /mount rw,noatime master:1 - tmpfs source rw`: device and mount of each tmpfs.
pub(crate) fn parse(mountinfo: &[u8]) -> Vec<(&[u8], Vec<u8>)> {
    let lines = mountinfo.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| {
            let mut fields = line.split(|byte| *byte == b' ');
            let (device, mount) = (fields.nth(2)?, fields.nth(1)?);
            fields.find(|field| *field == b"-")?;
            (fields.next()? == b"tmpfs").then(|| (device, unescape(mount)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Bytes, MOST, Path, Tmpfs, likely, parse, seen};

    fn tmpfs(mount: &str, mib: u64) -> Tmpfs {
        Tmpfs { mount: mount.to_owned(), used_bytes: Bytes(mib << 20) }
    }

    #[test]
    fn the_mount_that_holds_just_as_much_is_the_likeliest() {
        let seen = vec![tmpfs("/dev/shm", 500), tmpfs("/its", 65), tmpfs("/run", 40), tmpfs("/little", 4)];
        let mounts: Vec<String> =
            likely(seen, Bytes(64 << 20)).into_iter().map(|tmpfs| tmpfs.mount).collect();
        assert_eq!(mounts, ["/its", "/run", "/dev/shm"]);
    }

    #[test]
    fn many_fuller_mounts_do_not_hide_it() {
        let others = (0..30).map(|other| tmpfs(&format!("/other/{other}"), 1000 + other));
        let seen = likely(others.chain([tmpfs("/its", 64)]).collect(), Bytes(64 << 20));
        assert_eq!((seen.len(), seen[0].mount.as_str()), (MOST, "/its"));
    }

    #[test]
    fn only_tmpfs_and_names_as_they_are() {
        let text = b"22 1 0:21 / /proc rw - proc proc rw\n\
            36 35 0:45 / /a\\040b rw,nosuid shared:5 master:2 - tmpfs tmpfs rw,size=9k\n36 35 odd";
        assert_eq!(parse(text), [(&b"0:45"[..], b"/a b".to_vec())]);
    }

    #[test]
    fn a_process_that_is_gone_has_none() {
        assert!(seen(Path::new("/proc"), u32::MAX).is_none());
        assert!(seen(Path::new("/proc"), std::process::id()).is_some());
    }
}
