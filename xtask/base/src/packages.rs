//! Packages of Debian that are unpacked, never installed: for guests, and for tools that this machine lacks.
//!
//! Names -> files in a cache outside of the tree. Must not change this machine's package lists.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

pub mod apt;
mod mirror;
pub mod tree;

use crate::process;

const CACHE: &str = "MEMTRACE_VM_CACHE";

/// Where packages and what is made of them are kept between runs: outside of the tree.
pub fn cache() -> Result<PathBuf> {
    let of_user = || {
        let base = env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let base = base.or_else(|| Some(env::home_dir()?.join(".cache")))?;
        Some(base.join("memtrace/vm"))
    };
    env::var_os(CACHE).map(PathBuf::from).or_else(of_user).with_context(|| {
        format!("failed to find a cache directory for packages: neither {CACHE} nor HOME is set")
    })
}

/// Why this machine cannot have Debian's packages, if it cannot.
pub fn cannot_have() -> Option<String> {
    if process::find("apt-get").is_none() || process::find("dpkg-deb").is_none() {
        return Some("apt and dpkg are missing; they fetch and unpack Debian's kernels".to_owned());
    }
    mirror::find().err().map(|error| format!("{error:#}"))
}

/// A small Debian without a kernel, for guests and for what is measured.
pub fn small_root() -> Result<PathBuf> {
    tree::ensure(&cache()?, &tree::SMALL)
}

/// Another, with the tools that the benchmark runs.
pub fn tools_root() -> Result<PathBuf> {
    tree::ensure(&cache()?, &tree::TOOLS)
}

/// The archive of one package of a Debian suite, in `dir`.
pub fn download(suite: &'static str, package: &str, dir: &Path) -> Result<()> {
    apt::Apt::new(&cache()?, suite)?.download(package, dir)
}
