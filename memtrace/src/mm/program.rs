//! Opens the file behind a mapping.
//!
//! Input: a process, the file that it maps, and its mappings. Output: a handle of exactly that file. The file system
//! may be slow or controlled by the process, so a thread that others wait for must not use this.

use std::{
    ffi::OsStr,
    fs::{self, File as Handle},
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::Path,
};

use rustix::fs::fstat;

use super::{procfs::Procfs, region::File};
use crate::foreign::{self, Root};

/// A version of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Version {
    /// The version of an open file; `None` if it is not a regular file.
    pub fn of(handle: &Handle) -> Option<Self> {
        let data = handle.metadata().ok().filter(fs::Metadata::is_file)?;
        Some(Self {
            device: data.dev(),
            inode: data.ino(),
            size: data.size(),
            changed: (data.ctime(), data.ctime_nsec()),
        })
    }
}

/// Opens the file through `/proc/PID/map_files`, which also works for deleted files, else by its path in the process's
/// root. `mapped` are the starts and ends of its mappings.
pub fn open(
    procfs: &Procfs,
    pid: u32,
    file: &File,
    mapped: impl IntoIterator<Item = (u64, u64)>,
) -> Option<Handle> {
    let folder = procfs.root().join(pid.to_string()).join("map_files");
    let links = mapped.into_iter().take(2).map(|(start, end)| folder.join(format!("{start:x}-{end:x}")));
    let by_link = links.filter_map(|link| foreign::linked(&link).ok());
    let by_path = || Root::of(procfs.root(), pid).ok()?.at(Path::new(OsStr::from_bytes(&file.path))).ok();
    by_link.chain(std::iter::once_with(by_path).flatten()).find_map(|held| {
        fstat(&held).ok().filter(|stat| stat.st_ino == file.inode)?;
        foreign::open(&held).ok()
    })
}
