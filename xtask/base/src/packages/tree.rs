//! A tree of files made of packages and all that they need.
//!
//! Names of packages -> a directory in the cache, that programs can be run from and guests can have as their root.
//! Must only unpack: no package's own scripts are run.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, anyhow, bail};

use super::apt::Apt;
use crate::process;

/// What a tree is made of.
#[derive(Debug)]
pub struct Recipe {
    /// Its directory's name in the cache.
    pub name: &'static str,
    /// Debian's release.
    pub suite: &'static str,
    /// With all that they need.
    pub packages: &'static [&'static str],
}

/// A shell, Python, redis with its benchmark, jemalloc, and one who kills before the kernel does.
pub const SMALL: Recipe = Recipe {
    name: "small-root",
    suite: "bookworm",
    packages: &["dash", "coreutils", "python3", "redis-server", "redis-tools", "libjemalloc2", "earlyoom"],
};

/// A load generator, and the tools that memtrace is compared with.
pub const TOOLS: Recipe =
    Recipe { name: "tools-root", suite: "bookworm", packages: &["wrk", "bpftrace", "strace"] };

/// What file systems of the kernel are mounted on; no package has them.
const MOUNTED: [&str; 3] = ["dev", "proc", "tmp"];
const DISK_SIZE: &str = "400M";
/// Says of which packages a tree was made.
const STAMP: &str = "packages";
/// Where all of it goes; the old places are links (usrmerge).
const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

/// The tree, made when it is not there yet or was made of other packages.
pub fn ensure(cache: &Path, recipe: &Recipe) -> Result<PathBuf> {
    let Recipe { name, suite, packages } = recipe;
    let home = cache.join(name);
    let (stamp, root) = (home.join(STAMP), home.join("root"));
    let made_of = format!("{suite}: {}\n", packages.join(" "));
    if fs::read_to_string(&stamp).is_ok_and(|known| known == made_of) {
        return Ok(root);
    }
    println!("packages: unpacking {} of {suite} and what they need", packages.join(", "));
    let apt = Apt::new(cache, suite)?;
    let scratch = apt.scratch()?;
    let made = scratch.path().join("root");
    for dir in MERGED {
        let merged = made.join("usr").join(dir);
        fs::create_dir_all(&merged).with_context(|| format!("failed to create {}", merged.display()))?;
        symlink(Path::new("usr").join(dir), made.join(dir))
            .with_context(|| format!("failed to link {dir} in {}", made.display()))?;
    }
    for dir in MOUNTED {
        fs::create_dir(made.join(dir))
            .with_context(|| format!("failed to create {dir} in {}", made.display()))?;
    }
    for archive in apt.closure(packages)? {
        unpack(&archive, &made)?;
        fs::remove_file(&archive).with_context(|| format!("failed to remove {}", archive.display()))?;
    }
    if home.exists() {
        fs::remove_dir_all(&home).with_context(|| format!("failed to remove {}", home.display()))?;
    }
    fs::create_dir_all(&home).with_context(|| format!("failed to create {}", home.display()))?;
    fs::rename(&made, &root).with_context(|| format!("failed to write {}", root.display()))?;
    fs::write(&stamp, made_of).with_context(|| format!("failed to write {}", stamp.display()))?;
    Ok(root)
}

/// The tree as the file system of a disk.
pub fn disk(cache: &Path, recipe: &Recipe) -> Result<PathBuf> {
    let root = ensure(cache, recipe)?;
    let home = cache.join(recipe.name);
    let disk = home.join("disk.ext4");
    // A tree made anew has a directory of its own, without a disk.
    if !disk.is_file() {
        let part = home.join("disk.part");
        let mut make = Command::new("mke2fs");
        make.args(["-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d"]).arg(&root);
        process::capture(make.arg(&part).arg(DISK_SIZE))?;
        fs::rename(&part, &disk).with_context(|| format!("failed to write {}", disk.display()))?;
    }
    Ok(disk)
}

/// `dpkg-deb -x` would replace the links of the old places by directories.
fn unpack(archive: &Path, root: &Path) -> Result<()> {
    let mut dpkg = Command::new("dpkg-deb");
    let mut dpkg = dpkg.arg("--fsys-tarfile").arg(archive).stdout(Stdio::piped()).spawn();
    let dpkg = dpkg.as_mut().map_err(|error| anyhow!("failed to run dpkg-deb: {error}"))?;
    let files = dpkg.stdout.take().context("failed to read from dpkg-deb")?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--no-same-owner", "--keep-directory-symlink", "--directory"]).arg(root);
    let status = tar.stdin(files).status().context("failed to run tar")?;
    let unpacked = dpkg.wait().context("failed to wait for dpkg-deb")?;
    if !status.success() || !unpacked.success() {
        bail!(
            "failed to unpack {}: dpkg-deb {unpacked}, `{}` {status}",
            archive.display(),
            process::shown(&tar)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_of_the_same_packages_is_left_alone() {
        let cache = tempfile::tempdir().unwrap();
        let home = cache.path().join("small");
        fs::create_dir(&home).unwrap();
        fs::write(home.join(STAMP), "trixie: dash coreutils\n").unwrap();
        let recipe = Recipe { name: "small", suite: "trixie", packages: &["dash", "coreutils"] };
        assert_eq!(ensure(cache.path(), &recipe).unwrap(), home.join("root"));
    }
}
