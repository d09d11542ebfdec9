//! What booting guests takes on this machine.
//!
//! PATH -> nothing, or packages installed (as root on Debian), or what is missing. Must not install what is there.

use std::{env::consts::ARCH, fs, path::Path};

use anyhow::{Context as _, Result, bail};

use super::say;
use crate::{elf, process, setup::Debian};

/// Where Debian puts the static busybox; on others it is what PATH has.
const BUSYBOX: &str = "/bin/busybox";

/// A program, and the Debian package that has it.
const NEEDED: [(&str, &str); 6] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("cc", "gcc"),
    ("timeout", "coreutils"),
    ("dpkg-deb", "dpkg"),
    ("apt-get", "apt"),
];

/// Makes sure that all is there.
pub(crate) fn ensure() -> Result<()> {
    if ARCH != "x86_64" {
        bail!(
            "failed to start: the guests run this machine's memtrace, and their kernels are x86-64, not {ARCH}"
        );
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
    let otherwise = format!("Install by hand what has these programs: {programs}.");
    Debian::detect().install(&packages, &otherwise)
}

/// The static busybox: the guest has no libc.
pub(crate) fn busybox() -> Result<Vec<u8>> {
    let usual = Path::new(BUSYBOX);
    let found = if usual.is_file() { Some(usual.to_owned()) } else { process::find("busybox") };
    let file = found.context("failed to find busybox")?;
    let bytes = fs::read(&file).with_context(|| format!("failed to read {}", file.display()))?;
    if !elf::is_static(&bytes)? {
        bail!("failed to use {}: it is not static; install busybox-static", file.display());
    }
    Ok(bytes)
}
