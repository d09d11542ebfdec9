//! The file behind a mapping, opened.
//!
//! Input: a process, the file that it maps and where. Output: a handle on that very file. It may lie on a file system that
//! is slow or made by the process: must not be used by a thread that others wait for.

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
    /// That of an open file; `None` for what is none.
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

/// By the mapping itself, which deleted files have too; else by its path in the process's own root. `mapped` are the starts
/// and ends of its mappings.
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

/// Only what is a file already: to open a device or a pipe would do something.
fn open_file(path: PathBuf, inode: u64) -> Option<Handle> {
    fs::metadata(&path).ok().filter(|data| data.is_file() && data.ino() == inode)?;
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags).open(path).ok()
}
