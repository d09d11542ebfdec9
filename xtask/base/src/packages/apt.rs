//! An apt that knows one suite, and nothing of this machine.
//!
//! Names of packages -> their archives in the cache. Must never install a package or change this machine's package
//! lists.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::mirror;
use crate::process;

const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// One suite's packages, with a state of its own.
pub struct Apt {
    home: PathBuf,
    suite: &'static str,
}

impl Apt {
    /// Its state is kept in the cache, by suite. Reads the suite's list.
    pub fn new(cache: &Path, suite: &'static str) -> Result<Self> {
        let home = cache.join("apt").join(suite);
        for dir in ["lists/partial", "archives/partial"] {
            fs::create_dir_all(home.join(dir))
                .with_context(|| format!("failed to create {}", home.join(dir).display()))?;
        }
        let source = format!("deb [arch=amd64 signed-by={KEYS}] {} {suite} main\n", mirror::find()?);
        for (name, content) in [("sources.list", source.as_str()), ("status", "")] {
            let file = home.join(name);
            fs::write(&file, content).with_context(|| format!("failed to write {}", file.display()))?;
        }
        let apt = Self { home, suite };
        let updated = process::capture(apt.command("apt-get").args(["-qq", "update"]));
        updated.with_context(|| format!("failed to read the package list of {suite}"))?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let home = self.home.display();
        let options = [
            format!("Dir::Etc::sourcelist={home}/sources.list"),
            "Dir::Etc::sourceparts=-".to_owned(),
            format!("Dir::State::Lists={home}/lists"),
            // Nothing is installed: what a package needs is all that it needs.
            format!("Dir::State::status={home}/status"),
            format!("Dir::Cache={home}"),
            "Debug::NoLocking=true".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
            // Suites that are no longer updated say that they were valid until long ago.
            "Acquire::Check-Valid-Until=false".to_owned(),
        ];
        for option in options {
            command.arg("-o").arg(option);
        }
        command
    }

    /// True when the suite has the package.
    pub fn has(&self, package: &str) -> bool {
        process::capture(self.command("apt-cache").args(["show", package])).is_ok_and(|said| !said.is_empty())
    }

    /// Every package's name.
    pub fn names(&self) -> Result<String> {
        process::capture(self.command("apt-cache").arg("pkgnames"))
    }

    /// The archive of this package alone, in `dir`.
    pub fn download(&self, package: &str, dir: &Path) -> Result<()> {
        let downloaded =
            process::capture(self.command("apt-get").args(["-qq", "download", package]).current_dir(dir));
        downloaded.map(|_| ())
    }

    /// The archives of these packages and of all that they need.
    pub fn closure(&self, packages: &[&str]) -> Result<Vec<PathBuf>> {
        let archives = self.home.join("archives");
        for old in debs(&archives)? {
            fs::remove_file(&old).with_context(|| format!("failed to remove {}", old.display()))?;
        }
        let mut command = self.command("apt-get");
        command
            .args(["-qq", "--yes", "--no-install-recommends", "--download-only", "install"])
            .args(packages);
        process::capture(&mut command)
            .with_context(|| format!("failed to download {} from {}", packages.join(" "), self.suite))?;
        debs(&archives)
    }

    /// A directory of ours for what is unpacked.
    pub fn scratch(&self) -> Result<tempfile::TempDir> {
        let dir = tempfile::Builder::new().prefix("unpack-").tempdir_in(&self.home);
        dir.context("failed to create a directory to unpack in")
    }
}

/// The package archives in a directory.
pub fn debs(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("failed to read {}", dir.display()))?;
    let paths = entries.flatten().map(|entry| entry.path());
    Ok(paths.filter(|path| path.extension().is_some_and(|extension| extension == "deb")).collect())
}
