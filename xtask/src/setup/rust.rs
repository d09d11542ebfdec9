//! A Rust that can build `core` for the BPF target.
//!
//! MEMTRACE_BPF_RUST, rustup's directory and /usr -> the first usable Rust, or why none is.
//! Must not install anything.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use xtask_base::process;

/// A directory with bin/rustc and bin/cargo that overrules the search.
pub(crate) const OVERRIDE: &str = "MEMTRACE_BPF_RUST";

/// The workspace's own `rust-version`: the kernel crate does not build with an older one.
const OLDEST: &str = env!("CARGO_PKG_RUST_VERSION");

/// A Rust with library source.
#[derive(Debug)]
pub(crate) struct Rust {
    pub(crate) cargo: PathBuf,
    pub(crate) rustc: PathBuf,
    pub(crate) version: Version,
}

/// What `rustc --version --verbose` says; ordered by preference.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Version {
    nightly: bool,
    release: (u32, u32),
    date: String,
    pub(crate) llvm: u32,
    pub(crate) line: String,
}

/// The first usable Rust of this machine, or one reason a candidate.
pub(crate) fn find() -> Result<std::result::Result<Rust, Vec<String>>> {
    if let Some(prefix) = env::var_os(OVERRIDE) {
        return examine(Path::new(&prefix)).map(Ok).with_context(|| format!("failed to use {OVERRIDE}"));
    }
    let mut refused = Vec::new();
    let mut usable = Vec::new();
    for prefix in rustup_toolchains() {
        match examine(&prefix) {
            Ok(rust) => usable.push(rust),
            Err(reason) => refused.push(format!("{reason:#}")),
        }
    }
    if let Some(best) = usable.into_iter().max_by(|a, b| a.version.cmp(&b.version)) {
        return Ok(Ok(best));
    }
    Ok(system().map_err(|reason| {
        refused.push(format!("{reason:#}"));
        refused
    }))
}

/// The Rust of the distribution's packages.
pub(crate) fn system() -> Result<Rust> {
    examine(Path::new("/usr"))
}

fn rustup_toolchains() -> Vec<PathBuf> {
    let home = env::var_os("RUSTUP_HOME").map(PathBuf::from);
    let Some(home) = home.or_else(|| env::home_dir().map(|home| home.join(".rustup"))) else {
        return Vec::new();
    };
    let Ok(dir) = fs::read_dir(home.join("toolchains")) else { return Vec::new() };
    let mut found: Vec<PathBuf> = dir.flatten().map(|entry| entry.path()).collect();
    found.sort();
    found
}

fn examine(prefix: &Path) -> Result<Rust> {
    let (cargo, rustc) = (prefix.join("bin/cargo"), prefix.join("bin/rustc"));
    for program in [&cargo, &rustc] {
        if !process::is_executable(program) {
            bail!("{} is not there", program.display());
        }
    }
    let said = process::capture(Command::new(&rustc).args(["--version", "--verbose"]))?;
    let version = parse_version(&said)
        .with_context(|| format!("failed to read the version that {} prints", rustc.display()))?;
    if version.release < release_of(OLDEST).unwrap_or_default() {
        bail!("{} is {}, older than {OLDEST}", rustc.display(), version.line);
    }
    let sysroot = process::capture(Command::new(&rustc).args(["--print", "sysroot"]))?;
    let source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core");
    if !source.is_dir() {
        bail!("{} has no library source (rust-src)", rustc.display());
    }
    Ok(Rust { cargo, rustc, version })
}

fn parse_version(said: &str) -> Option<Version> {
    let value = |key: &str| said.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let release = value("release:")?;
    Some(Version {
        nightly: release.contains("nightly") || release.contains("dev"),
        release: release_of(release)?,
        date: value("commit-date:").unwrap_or_default().to_owned(),
        llvm: value("LLVM version:")?.split('.').next()?.parse().ok()?,
        line: said.lines().next()?.trim().to_owned(),
    })
}

/// `1.97.0-nightly` -> (1, 97)
fn release_of(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)
binary: rustc
commit-date: 2026-05-25
release: 1.96.0
LLVM version: 22.1.8
";

    #[test]
    fn the_version_is_read_from_what_rustc_prints() {
        let version = parse_version(DEBIAN).unwrap();
        assert_eq!((version.release, version.llvm, version.nightly), ((1, 96), 22, false));
        assert!(version.line.starts_with("rustc 1.96.0 (ac68faa20"));
    }

    #[test]
    fn a_newer_nightly_is_preferred_to_an_older_one_and_to_a_stable_one() {
        let stable = parse_version(DEBIAN).unwrap();
        let nightly = |release: &str, date: &str| Version {
            nightly: true,
            release: release_of(release).unwrap(),
            date: date.to_owned(),
            ..stable.clone()
        };
        let (old, new) = (nightly("1.95.0", "2026-03-01"), nightly("1.95.0", "2026-03-20"));
        assert!(stable < old && old < new && new < nightly("1.100.0", "2026-01-01"));
    }

    #[test]
    fn a_text_without_a_version_is_none() {
        assert_eq!(parse_version("rustc 1.96.0\n"), None);
        assert_eq!(release_of("1"), None);
    }

    #[test]
    fn a_directory_without_a_compiler_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        assert!(examine(dir.path()).unwrap_err().to_string().contains("bin/cargo is not there"));
    }
}
