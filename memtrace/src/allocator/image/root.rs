//! Files of a live process's own root.
//!
//! Input: a pid and a path as the process sees it. Output: the start of a regular file. The process controls these
//! files: nothing outside its root is reached, and only regular files are opened.

use std::{
    fs::File,
    io::Read as _,
    os::fd::{AsRawFd as _, OwnedFd},
};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

use super::Files;
use crate::mm::procfs::Procfs;

/// A process's root; without one, no file is found.
#[derive(Debug)]
pub struct Root(Option<OwnedFd>);

impl Root {
    /// The root of a process.
    pub fn open(procfs: &Procfs, pid: u32) -> Self {
        let path = procfs.root().join(pid.to_string()).join("root");
        Self(rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok())
    }
}

impl Files for Root {
    fn read(&self, path: &[u8], most: usize) -> Option<Vec<u8>> {
        let root = self.0.as_ref()?;
        // No link may lead out of the root. O_PATH first, because opening anything but a file has side effects.
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let place = rustix::fs::openat2(root, path, flags, Mode::empty(), resolve).ok()?;
        let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&place).ok()?.st_mode);
        if !kind.is_file() {
            return None;
        }
        let link = format!("/proc/self/fd/{}", place.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(CWD, link, flags, Mode::empty()).ok()?);
        let mut bytes = Vec::new();
        file.take(most as u64).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::ffi::OsStrExt as _, path::Path};

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
