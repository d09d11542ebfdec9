//! Where a run's cgroup can be made.
//!
//! /proc and cgroupfs -> [`Home`], or what is missing and how to get it. On v1 it is our own group. On v2 it is the
//! nearest group from ours upwards whose children have the memory controller; processes of a group that must give it to
//! its children move into a child of it (the rule of cgroup-v2.rst: no processes in inner groups), and back at the end.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access};

use crate::{
    cgroup::hierarchy::{Hierarchy, Version},
    mm::procfs::Procfs,
    text::escape,
};

/// Why there is no place for a cgroup.
#[derive(Debug, thiserror::Error)]
pub enum NoHome {
    /// The kernel or the mounts do not have it.
    #[error("{0}")]
    Missing(String),
    /// Somebody else may.
    #[error("{0}")]
    NotPermitted(String),
}

/// The group in which runs have theirs.
#[derive(Debug)]
pub struct Home {
    /// The hierarchy with the memory controller.
    pub hierarchy: Hierarchy,
    /// Its path.
    pub path: Vec<u8>,
    /// Its directory.
    pub directory: PathBuf,
    /// Whether the controller was given to its children here, and is taken back.
    gave: bool,
    /// Where its processes are meanwhile.
    aside: Option<PathBuf>,
}

impl Home {
    /// Finds it.
    ///
    /// # Errors
    /// See [`NoHome`].
    pub fn find(proc: &Path) -> Result<Self, NoHome> {
        let hierarchy = Hierarchy::find(proc)
            .map_err(|error| NoHome::Missing(format!("failed to read the mounts: {error}")))?
            .ok_or_else(no_controller)?;
        let lines = Procfs::new(proc).cgroup(std::process::id()).unwrap_or_default();
        let own = hierarchy.path_of(&lines).map(|path| hierarchy.absolute(path));
        let own = own.ok_or_else(|| NoHome::Missing("this process is in no memory cgroup".to_owned()))?;
        match hierarchy.version {
            Version::V1 => Self::own_group(hierarchy, own),
            Version::V2 => Self::above(hierarchy, &own),
        }
    }

    fn own_group(hierarchy: Hierarchy, path: Vec<u8>) -> Result<Self, NoHome> {
        let directory = hierarchy.directory(&path).ok_or_else(|| hidden(&path))?;
        if let Err(error) = probe(&directory) {
            return Err(refused(&directory, &error, Version::V1));
        }
        Ok(Self { hierarchy, path, directory, gave: false, aside: None })
    }

    /// v2: the nearest group from ours upwards that can have such children.
    fn above(hierarchy: Hierarchy, own: &[u8]) -> Result<Self, NoHome> {
        let own_directory = hierarchy.directory(own).ok_or_else(|| hidden(own))?;
        let mut why = None;
        let is_root = |path: &[u8]| path == b"/";
        for path in upwards(own) {
            // Our own group has a process, ourselves; only a hierarchy's root may have both.
            if path == own && !is_root(path) {
                continue;
            }
            let Some(directory) = hierarchy.directory(path) else { continue };
            match take(&directory) {
                Ok(gave) => {
                    return Ok(Self { path: path.to_vec(), directory, hierarchy, gave, aside: None });
                }
                Err(error) => why = why.or(Some((directory, error))),
            }
        }
        match step_aside(&own_directory) {
            Ok(aside) => {
                let home =
                    Self { path: own.to_vec(), directory: own_directory, hierarchy, gave: true, aside };
                Ok(home)
            }
            Err(error) => {
                let (directory, error) = why.unwrap_or((own_directory, error));
                Err(refused(&directory, &error, Version::V2))
            }
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Others may have children there by now; then it stays as it is, which harms nobody.
        if self.gave {
            let _ = fs::write(self.directory.join("cgroup.subtree_control"), "-memory");
        }
        if let Some(aside) = &self.aside {
            let _ = move_all(aside, &self.directory);
            let _ = fs::remove_dir(aside);
        }
    }
}

/// A path and those above it.
fn upwards(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(path), |path| {
        let slash = path.iter().rposition(|byte| *byte == b'/').filter(|_| *path != b"/")?;
        path.get(..slash.max(1))
    })
}

/// Makes a group able to have children with the memory controller, and says whether that changed it.
fn take(directory: &Path) -> io::Result<bool> {
    let control = directory.join("cgroup.subtree_control");
    let is_on = fs::read_to_string(&control)?.split_whitespace().any(|name| name == "memory");
    // Who moves a process from one child to another must be allowed to write here (cgroup-v2.rst, delegation).
    access(directory.join("cgroup.procs"), Access::WRITE_OK)?;
    probe(directory)?;
    if !is_on {
        fs::write(&control, "+memory")?;
    }
    Ok(!is_on)
}

/// Moves the processes of our own group into a child of it. Only where nobody else's are moved: the group has no other
/// process than this one, or it is the root of a container.
fn step_aside(own: &Path) -> io::Result<Option<PathBuf>> {
    let members = fs::read_to_string(own.join("cgroup.procs"))?;
    let pid = std::process::id().to_string();
    let is_alone = members.lines().all(|line| line == pid);
    let is_container = std::process::id() == 1 || own == Path::new("/sys/fs/cgroup");
    if !is_alone && !is_container {
        return Err(ErrorKind::ResourceBusy.into());
    }
    let aside = own.join(format!("memtrace-aside-{pid}"));
    fs::create_dir(&aside)?;
    let moved = move_all(own, &aside).and_then(|()| fs::write(own.join("cgroup.subtree_control"), "+memory"));
    if let Err(error) = moved {
        let _ = move_all(&aside, own);
        let _ = fs::remove_dir(&aside);
        return Err(error);
    }
    Ok(Some(aside))
}

fn move_all(from: &Path, to: &Path) -> io::Result<()> {
    for pid in fs::read_to_string(from.join("cgroup.procs"))?.lines() {
        match fs::write(to.join("cgroup.procs"), pid) {
            // It has ended.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

/// Whether a group can be made here: it is made, and removed.
fn probe(directory: &Path) -> io::Result<()> {
    let name = directory.join(format!("memtrace-run-{}-probe", std::process::id()));
    fs::create_dir(&name)?;
    fs::remove_dir(&name)
}

fn no_controller() -> NoHome {
    NoHome::Missing(
        "no memory controller is mounted: the kernel was built or started without it \
         (cgroup_disable=memory, or cgroup_enable=memory is missing), or /sys/fs/cgroup is not mounted here"
            .to_owned(),
    )
}

fn hidden(path: &[u8]) -> NoHome {
    NoHome::Missing(format!(
        "the cgroup of this process, {}, is not visible in /sys/fs/cgroup: in a container, mount the host's \
         /sys/fs/cgroup there, or start it with a cgroup namespace of its own",
        escape(path)
    ))
}

/// What is missing, and how to get it.
fn refused(directory: &Path, error: &io::Error, version: Version) -> NoHome {
    let directory = directory.display();
    let how = match (error.kind(), version) {
        (ErrorKind::ReadOnlyFilesystem, _) => {
            return NoHome::NotPermitted(format!(
                "failed to make a cgroup in {directory}: cgroupfs is read-only here; in a container, start it with \
                 --privileged, or mount /sys/fs/cgroup read-write (docker, podman: \
                 `-v /sys/fs/cgroup:/sys/fs/cgroup:rw --cgroupns=host`)"
            ));
        }
        (ErrorKind::ResourceBusy, _) => {
            "other processes are in this cgroup, and it is the only one that may be used: start memtrace in a cgroup \
             of its own, with `systemd-run --user --scope -p Delegate=yes -- memtrace run ...`"
        }
        (_, Version::V1) => {
            "cgroups of version 1 are root's: run it with sudo, or let root make a cgroup that is yours (mkdir and \
             chown below /sys/fs/cgroup/memory) and start memtrace in it"
        }
        (_, Version::V2) => {
            "the memory controller is not delegated to you here: run it with sudo, or with \
             `systemd-run --user --scope -p Delegate=yes -- memtrace run ...`"
        }
    };
    NoHome::NotPermitted(format!("failed to make a cgroup in {directory}: {error}; {how}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_up_ends_at_the_root() {
        let all: Vec<&[u8]> = upwards(b"/a/b").collect();
        assert_eq!(all, [b"/a/b".as_slice(), b"/a", b"/"]);
        assert_eq!(upwards(b"/").count(), 1);
    }

    #[test]
    fn what_is_missing_is_said_with_how_to_get_it() {
        let said = |kind: ErrorKind, version| {
            refused(Path::new("/sys/fs/cgroup/a"), &kind.into(), version).to_string()
        };
        assert!(said(ErrorKind::ReadOnlyFilesystem, Version::V2).contains("--privileged"));
        assert!(said(ErrorKind::PermissionDenied, Version::V1).contains("sudo"));
        assert!(said(ErrorKind::PermissionDenied, Version::V2).contains("Delegate=yes"));
        assert!(no_controller().to_string().contains("cgroup_disable=memory"));
    }

    #[test]
    fn a_directory_that_may_have_children_is_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("cgroup.subtree_control"), "cpu memory\n").unwrap();
        fs::write(dir.path().join("cgroup.procs"), "").unwrap();
        assert!(!take(dir.path()).unwrap());
        fs::write(dir.path().join("cgroup.subtree_control"), "cpu\n").unwrap();
        assert!(take(dir.path()).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        assert!(take(&dir.path().join("absent")).is_err());
    }
}
