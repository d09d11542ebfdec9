//! Packages, where the system is Debian or Ubuntu and we are root.
//!
//! Names of packages -> installed packages, or the command to type. Must never remove a package.

use std::{
    fs::{self, File},
    process::Command,
};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::fs::FlockOperation;

use crate::process;

/// What we may install, and whether the lists are fresh.
#[derive(Debug)]
pub struct Debian {
    is_debian: bool,
    is_root: bool,
    is_updated: bool,
}

impl Debian {
    /// Looks at this machine and this user.
    pub fn detect() -> Self {
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        Self {
            is_debian: is_debian(&release) && process::find("apt-get").is_some(),
            is_root: rustix::process::geteuid().is_root(),
            is_updated: false,
        }
    }

    /// Installs the packages; `otherwise` says what to do where that cannot be done.
    pub fn install(&mut self, packages: &[&str], otherwise: &str) -> Result<()> {
        let names = packages.join(" ");
        advise(self.try_install(packages).with_context(|| format!("failed to install {names}")), otherwise)
    }

    fn try_install(&mut self, packages: &[&str]) -> Result<()> {
        let names = packages.join(" ");
        if !self.is_debian {
            bail!("this is not Debian or Ubuntu; setup cannot install packages here");
        }
        if !self.is_root {
            bail!("that needs root: run `apt-get install {names}` as root, or");
        }
        // Stages of `test` run side by side, and apt-get waits for nobody.
        let database = File::open("/var/lib/dpkg").context("failed to open dpkg's directory")?;
        rustix::fs::flock(&database, FlockOperation::LockExclusive).context("failed to wait for apt-get")?;
        println!("setup: installing {names} with apt-get (this can take a minute)");
        if !self.is_updated {
            apt(&["update"])?;
            self.is_updated = true;
        }
        let mut args = vec!["install", "--yes", "--no-remove"];
        args.extend(packages);
        apt(&args)
    }
}

/// Puts what to do after what went wrong.
pub fn advise<T>(result: Result<T>, advice: &str) -> Result<T> {
    result.map_err(|error| anyhow!("{error:#}\n{advice}"))
}

fn apt(args: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
    let output = command.output().context("failed to run apt-get")?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let said = process::tail(&String::from_utf8_lossy(&said), 15);
        bail!("failed to run `{}`: {}\n{said}", process::shown(&command), output.status);
    }
    Ok(())
}

fn is_debian(os_release: &str) -> bool {
    let values = os_release.lines().filter_map(|line| line.split_once('='));
    let mut ids = values.filter(|(key, _)| matches!(*key, "ID" | "ID_LIKE"));
    ids.any(|(_, value)| {
        value.trim_matches('"').split_whitespace().any(|id| matches!(id, "debian" | "ubuntu"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_and_what_is_like_it_are_debian() {
        assert!(is_debian("NAME=\"Debian GNU/Linux\"\nID=debian\n"));
        assert!(is_debian("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"));
    }

    #[test]
    fn fedora_is_not_debian() {
        assert!(!is_debian("ID=fedora\nHOME_URL=\"https://www.debian.org/\"\n"));
        assert!(!is_debian(""));
    }

    #[test]
    fn without_root_the_command_to_type_is_named() {
        let mut debian = Debian { is_debian: true, is_root: false, is_updated: false };
        let error = debian.install(&["gcc"], "install gcc").unwrap_err().to_string();
        assert!(error.contains("`apt-get install gcc`"), "{error}");
    }
}
