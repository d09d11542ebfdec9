//! Resolves a path below a root, one component at a time.
//!
//! A root and a path as its process sees it -> an `O_PATH` descriptor. Links and `..` stay below the root. Must not call
//! `openat2`, which could do the same: a seccomp filter cannot see its flags, so that a reader that was taken over could
//! open files for writing.

use std::{
    ffi::OsStr,
    io,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use rustix::{
    fs::{FileType, Mode, OFlags, PROC_SUPER_MAGIC, fstat, fstatfs, openat, readlinkat},
    io::Errno,
};

/// The most symbolic links on the way, as in the kernel.
const MOST_LINKS: usize = 40;
/// The most directories on the way; each is a descriptor.
const DEEPEST: usize = 256;
/// The most components that are still to be resolved, links included.
const MOST_LEFT: usize = 4096;

const HELD: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// An `O_PATH` descriptor of the file at this path.
///
/// # Errors
/// When there is no file at the path, or the way to it is too long.
pub fn resolve(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    // The next component is the last one.
    let mut left: Vec<Vec<u8>> = reversed(path.as_os_str().as_bytes()).collect();
    // From below the root to where this is. Also if directories are moved meanwhile, `..` leads back there and not further.
    let mut way: Vec<OwnedFd> = Vec::new();
    let mut links = 0;
    while let Some(part) = left.pop() {
        match &*part {
            b"" | b"." => continue,
            b".." => {
                way.pop();
                continue;
            }
            _ if way.len() >= DEEPEST => return Err(Errno::NAMETOOLONG.into()),
            _ => {}
        }
        let here = way.last().map_or(root, |directory| directory.as_fd());
        let held = openat(here, OsStr::from_bytes(&part), HELD, Mode::empty())?;
        if FileType::from_raw_mode(fstat(&held)?.st_mode) != FileType::Symlink {
            way.push(held);
            continue;
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(Errno::LOOP.into());
        }
        let target = readlinkat(&held, "", Vec::new())?.into_bytes();
        if target.first() == Some(&b'/') {
            // The text of a magic link is a path of the process that it is about, not of this one.
            if fstatfs(&held)?.f_type == PROC_SUPER_MAGIC {
                return Err(Errno::LOOP.into());
            }
            way.clear();
        }
        left.extend(reversed(&target));
        if left.len() > MOST_LEFT {
            return Err(Errno::NAMETOOLONG.into());
        }
    }
    match way.pop() {
        Some(held) => Ok(held),
        None => Ok(openat(root, ".", HELD, Mode::empty())?),
    }
}

/// The components of a path, the last one first.
fn reversed(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    path.rsplit(|byte| *byte == b'/').map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        os::unix::fs::{MetadataExt as _, symlink},
    };

    use super::*;

    fn inode(root: &File, path: &str) -> io::Result<u64> {
        Ok(fstat(resolve(root.as_fd(), Path::new(path))?)?.st_ino)
    }

    #[test]
    fn a_path_leads_where_the_kernel_would_go_and_never_above_the_root() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("root/a/b")).unwrap();
        fs::write(directory.path().join("root/a/file"), "").unwrap();
        fs::write(directory.path().join("file"), "").unwrap();
        symlink("../../../..//a/./file", directory.path().join("root/a/b/link")).unwrap();
        symlink("a/b", directory.path().join("root/short")).unwrap();
        let root = File::open(directory.path().join("root")).unwrap();
        let file = fs::metadata(directory.path().join("root/a/file")).unwrap().ino();
        for path in ["/a/file", "a//./b/../file", "../a/file", "/short/link", "/short/../file"] {
            assert_eq!(inode(&root, path).unwrap(), file, "{path}");
        }
        for path in ["/", "", "..", "a/..", "/short/../../.."] {
            assert_eq!(inode(&root, path).unwrap(), root.metadata().unwrap().ino(), "{path}");
        }
        for path in ["/file", "/../file", "/a/file/x", "/short/../../file"] {
            assert!(inode(&root, path).is_err(), "{path}");
        }
    }

    #[test]
    fn links_in_a_circle_and_paths_without_an_end_are_given_up() {
        let directory = tempfile::tempdir().unwrap();
        symlink("two", directory.path().join("one")).unwrap();
        symlink("one", directory.path().join("two")).unwrap();
        // Each link makes two of itself.
        symlink("many/../many", directory.path().join("many")).unwrap();
        let root = File::open(directory.path()).unwrap();
        for path in ["one", "many", &"one/".repeat(1000)] {
            let error = inode(&root, path).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(Errno::LOOP.raw_os_error()), "{path}");
        }
        let mut deep = directory.path().to_owned();
        for _ in 0..=DEEPEST {
            deep.push("d");
            fs::create_dir(&deep).unwrap();
        }
        assert!(inode(&root, &"d/".repeat(DEEPEST)).is_ok());
        let error = inode(&root, &"d/".repeat(DEEPEST + 1)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::NAMETOOLONG.raw_os_error()));
    }
}
