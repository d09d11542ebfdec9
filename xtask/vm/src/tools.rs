//! The emulator, and the guest's busybox.
//!
//! PATH, else packages in the cache -> programs to run. Must not install what is not there: it is unpacked beside
//! the kernels, so that no version of anything on this machine is in its way.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use xtask_base::packages::tree::{self, Recipe};
use xtask_base::{elf, process};

const QEMU: &str = "qemu-system-x86_64";
/// Where Debian puts the static busybox; on others it is what PATH has.
const BUSYBOX: &str = "bin/busybox";
const LOADER: &str = "lib64/ld-linux-x86-64.so.2";
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

const RECIPE: Recipe =
    Recipe { name: "qemu", suite: "bookworm", packages: &["qemu-system-x86", "busybox-static"] };

/// An emulator to run.
#[derive(Debug)]
pub(crate) enum Qemu {
    /// This machine's own.
    Installed(PathBuf),
    /// From the packages in this tree, with their libraries and not this machine's.
    Unpacked(PathBuf),
}

impl Qemu {
    pub(crate) fn find(cache: &Path) -> Result<Self> {
        match process::find(QEMU) {
            Some(program) => Ok(Self::Installed(program)),
            None => Ok(Self::Unpacked(tree::ensure(cache, &RECIPE)?)),
        }
    }

    /// Adds the emulator to a command that starts what it is given.
    pub(crate) fn add_to(&self, command: &mut Command) {
        match self {
            Self::Installed(program) => {
                command.arg(program);
            }
            Self::Unpacked(root) => {
                let libraries = root.join(LIBRARIES);
                command.env("QEMU_MODULE_DIR", libraries.join("qemu"));
                command.arg(root.join(LOADER)).arg("--library-path").arg(libraries);
                command.arg(root.join("usr/bin").join(QEMU));
                for data in ["qemu", "seabios"] {
                    command.arg("-L").arg(root.join("usr/share").join(data));
                }
            }
        }
    }
}

/// The static busybox: the guest has no libc.
pub(crate) fn busybox(cache: &Path) -> Result<Vec<u8>> {
    let usual = Path::new("/").join(BUSYBOX);
    for file in [Some(usual), process::find("busybox")].into_iter().flatten() {
        if let Ok(bytes) = fs::read(&file)
            && elf::is_static(&bytes)?
        {
            return Ok(bytes);
        }
    }
    let file = tree::ensure(cache, &RECIPE)?.join(BUSYBOX);
    let bytes = fs::read(&file).with_context(|| format!("failed to read {}", file.display()))?;
    if !elf::is_static(&bytes)? {
        bail!("failed to use {}: it is not static", file.display());
    }
    Ok(bytes)
}
