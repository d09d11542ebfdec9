//! Opens files in the root of another process. No other code does.
//!
//! A process and a path as it sees it -> a descriptor. Symbolic links resolve below the root of the process, and magic
//! links of /proc are rejected. Only a regular file of limited size is opened for reading; its type is checked before the
//! open, because opening a device or a FIFO has side effects or blocks. The file system may never answer, so only a reader
//! process may call this.

mod resolve;

use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd, AsRawFd as _, OwnedFd},
        unix::fs::OpenOptionsExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::fs::{FileType, Mode, OFlags, fstat, openat};

use self::resolve::resolve;

/// The largest file that is read, in bytes; no program is larger.
const LARGEST: u64 = 4 << 30;

/// The root of a process.
#[derive(Debug)]
pub struct Root(OwnedFd);

impl Root {
    /// The root of a process in this /proc.
    ///
    /// # Errors
    /// When the process is gone, or its root may not be read.
    pub fn of(proc: &Path, pid: u32) -> io::Result<Self> {
        let path = proc.join(pid.to_string()).join("root");
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(openat(rustix::fs::CWD, path, flags, Mode::empty())?))
    }

    /// An `O_PATH` descriptor of the file at this path.
    ///
    /// # Errors
    /// When there is no file at the path.
    pub fn at(&self, path: &Path) -> io::Result<OwnedFd> {
        resolve(self.0.as_fd(), path)
    }

    /// Opens the regular file at this path for reading.
    ///
    /// # Errors
    /// When there is none, or it is too large.
    pub fn file(&self, path: &Path) -> io::Result<File> {
        open(&self.at(path)?)
    }
}

/// An `O_PATH` descriptor of the file behind a magic link of /proc, such as an entry of `map_files`.
///
/// # Errors
/// When the link is gone, or may not be followed.
pub fn linked(link: &Path) -> io::Result<OwnedFd> {
    Ok(openat(rustix::fs::CWD, link, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

/// Opens an `O_PATH` descriptor for reading.
///
/// # Errors
/// When it is not a regular file, or too large.
pub fn open(held: &impl AsFd) -> io::Result<File> {
    let stat = fstat(held)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("not a regular file"));
    }
    if u64::try_from(stat.st_size).map_or(true, |size| size > LARGEST) {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too large to be read"));
    }
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags).open(path_of(held))
}

/// A path of this open file for libraries that open by path. It stays the same file after a rename or an unlink.
pub fn path_of(held: &impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", held.as_fd().as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read as _, os::unix::fs::symlink, process::Command};

    use super::*;

    /// A /proc with one process, whose root is a directory.
    fn world() -> (tempfile::TempDir, Root, PathBuf) {
        let proc = tempfile::tempdir().unwrap();
        let inside = proc.path().join("inside");
        fs::create_dir_all(inside.join("lib")).unwrap();
        fs::create_dir(proc.path().join("7")).unwrap();
        symlink("../inside", proc.path().join("7/root")).unwrap();
        let root = Root::of(proc.path(), 7).unwrap();
        (proc, root, inside)
    }

    fn read(root: &Root, path: &str) -> io::Result<String> {
        let mut text = String::new();
        root.file(Path::new(path))?.read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn links_stay_below_the_root() {
        let (proc, root, inside) = world();
        fs::write(proc.path().join("secret"), "outside").unwrap();
        fs::write(inside.join("lib/secret"), "inside").unwrap();
        let outside = proc.path().join("secret");
        symlink(&outside, inside.join("absolute")).unwrap();
        symlink("../../../../secret", inside.join("lib/upwards")).unwrap();
        symlink("/lib/secret", inside.join("good")).unwrap();
        assert!(read(&root, "/absolute").is_err());
        assert!(read(&root, "/lib/upwards").is_err());
        assert!(read(&root, "/../secret").is_err());
        assert_eq!(read(&root, "/good").unwrap(), "inside");
        fs::write(inside.join("secret"), "its own").unwrap();
        assert_eq!(read(&root, "/lib/upwards").unwrap(), "its own");
    }

    #[test]
    fn links_that_proc_makes_are_not_followed() {
        let proc = Path::new("/proc");
        let root = Root::of(proc, std::process::id()).unwrap();
        assert!(read(&root, "/proc/self/status").is_ok(), "it is a file, and below the root");
        assert!(root.file(Path::new("/proc/self/exe")).is_err());
        assert!(root.file(Path::new("/proc/self/root/etc/passwd")).is_err());
    }

    #[test]
    fn a_pipe_a_device_and_a_directory_are_not_opened() {
        let (_proc, root, inside) = world();
        assert!(Command::new("mkfifo").arg(inside.join("pipe")).status().unwrap().success());
        for path in ["/pipe", "/lib", "/nothing"] {
            assert!(root.file(Path::new(path)).is_err(), "{path}");
        }
        let all = Root::of(Path::new("/proc"), std::process::id()).unwrap();
        assert!(all.file(Path::new("/dev/null")).is_err());
    }

    #[test]
    fn a_file_of_200_gib_is_not_opened() {
        let (_proc, root, inside) = world();
        let sparse = File::create(inside.join("sparse")).unwrap();
        sparse.set_len(200 << 30).unwrap();
        let error = root.file(Path::new("/sparse")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn what_is_held_stays_the_same_file() {
        let (_proc, root, inside) = world();
        fs::write(inside.join("a"), "first").unwrap();
        let held = root.at(Path::new("/a")).unwrap();
        fs::remove_file(inside.join("a")).unwrap();
        fs::write(inside.join("a"), "second").unwrap();
        let mut text = String::new();
        open(&held).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "first");
    }
}
