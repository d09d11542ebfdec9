//! Files of a live process's own root.
//!
//! Input: a pid and a path as the process sees it. Output: the start of a regular file. The process controls these
//! files: nothing outside its root is reached, and only regular files are opened.

use std::{ffi::OsStr, io::Read as _, os::unix::ffi::OsStrExt as _, path::Path};

use super::Files;
use crate::{foreign, mm::procfs::Procfs};

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
        assert_eq!(read(Path::new("/dev/null"), 2), None);
        assert_eq!(read(folder.path(), 2), None);
        assert_eq!(read(Path::new("/proc/self/exe"), 2), None);
        assert!(Root::open(&Procfs::new("/proc"), u32::MAX).read(b"/etc/passwd", 1).is_none());
    }
}
