//! Files of a live process's own root.
//!
//! Input: a pid and a path as the process sees it. Output: the start of a regular file. The process controls these
//! files: nothing outside its root is reached, and only regular files are opened.

use std::{
    ffi::OsStr,
    io::Read as _,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileExt as _, MetadataExt as _},
    },
    path::Path,
};

use super::Files;
use crate::{
    foreign,
    mm::{procfs::Procfs, region},
};

/// A process's root; without one, no file is found.
#[derive(Debug)]
pub struct Root(Option<foreign::Root>);

impl Root {
    /// The root of a process.
    pub fn open(procfs: &Procfs, pid: u32) -> Self {
        Self(foreign::Root::of(procfs.root(), pid).ok())
    }
}

impl Files for Root {
    fn read(&self, path: &[u8], most: usize) -> Option<Vec<u8>> {
        let file = self.0.as_ref()?.file(Path::new(OsStr::from_bytes(path))).ok()?;
        let mut bytes = Vec::new();
        file.take(most as u64).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    fn read_at(&self, file: &region::File, offset: u64, length: usize) -> Option<Vec<u8>> {
        let open = self.0.as_ref()?.file(Path::new(OsStr::from_bytes(&file.path))).ok()?;
        // Another file may have taken its place.
        let is_it = open.metadata().is_ok_and(|found| found.ino() == file.inode);
        let mut bytes = vec![0; length];
        (is_it && open.read_exact_at(&mut bytes, offset).is_ok()).then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_those_of_its_root_and_regular() {
        let root = Root::open(&Procfs::new("/proc"), std::process::id());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"hello").unwrap();
        let read = |path: &Path, most| root.read(path.as_os_str().as_bytes(), most);
        assert_eq!(read(&path, 100).as_deref(), Some(&b"hello"[..]));
        assert_eq!(read(&path, 2).as_deref(), Some(&b"he"[..]));
        let mapped = |inode| region::File { device: 0, inode, path: path.as_os_str().as_bytes().to_vec() };
        let inode = std::fs::metadata(&path).unwrap().ino();
        assert_eq!(root.read_at(&mapped(inode), 1, 3).as_deref(), Some(&b"ell"[..]));
        assert_eq!(root.read_at(&mapped(inode), 3, 3), None, "it is shorter");
        assert_eq!(root.read_at(&mapped(inode + 1), 1, 3), None, "another file");
        assert_eq!(read(Path::new("/dev/null"), 2), None);
        assert_eq!(read(folder.path(), 2), None);
        assert_eq!(read(Path::new("/proc/self/exe"), 2), None);
        assert!(Root::open(&Procfs::new("/proc"), u32::MAX).read(b"/etc/passwd", 1).is_none());
    }
}
