//! Opens the file behind a mapping.
//!
//! Input: a process, the file that it maps, and its mappings. Output: a handle of exactly that file. The file system
//! may be slow or controlled by the process, so a thread that others wait for must not use this.

use std::{
    ffi::OsStr,
    fs::{self, File as Handle, OpenOptions},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::PathBuf,
};

use super::{procfs::Procfs, region::File};

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
    let folder = procfs.root().join(pid.to_string());
    let links = mapped
        .into_iter()
        .take(2)
        .map(|(start, end)| folder.join("map_files").join(format!("{start:x}-{end:x}")));
    let path = file.path.strip_prefix(b"/").unwrap_or(&file.path);
    let path = folder.join("root").join(OsStr::from_bytes(path));
    links.chain([path]).find_map(|path| open_file(path, file.inode))
}

/// Opens only regular files: opening a device or a pipe has side effects.
fn open_file(path: PathBuf, inode: u64) -> Option<Handle> {
    fs::metadata(&path).ok().filter(|data| data.is_file() && data.ino() == inode)?;
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags).open(path).ok()
}
