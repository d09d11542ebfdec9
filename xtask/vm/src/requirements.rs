//! What booting guests takes on this machine.
//!
//! PATH -> nothing, or packages installed (as root on Debian), or what is missing. Must not install what is there.

use std::env::consts::ARCH;

use anyhow::{Result, bail};

use super::say;
use xtask_base::{debian::Debian, process};

/// A program, and the Debian package that has it.
const NEEDED: [(&str, &str); 6] = [
    ("cc", "gcc"),
    ("tar", "tar"),
    ("timeout", "coreutils"),
    ("dpkg-deb", "dpkg"),
    ("apt-get", "apt"),
    ("mke2fs", "e2fsprogs"),
];

/// Makes sure that all is there.
pub(crate) fn ensure() -> Result<()> {
    if ARCH != "x86_64" {
        bail!("the guests run the memtrace of this machine, and their kernels are for x86-64, not {ARCH}");
    }
    let missing: Vec<_> = NEEDED.iter().filter(|(program, _)| process::find(program).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let programs = missing.iter().map(|(program, _)| *program).collect::<Vec<_>>().join(", ");
    say(&format!("missing: {programs}"));
    let mut packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    if packages.contains(&"gcc") {
        packages.push("libc6-dev");
    }
    let otherwise = format!("Install these programs by hand: {programs}.");
    Debian::detect().install(&packages, &otherwise)
}
