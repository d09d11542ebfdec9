//! The toolchain file: what `setup` found, for memtrace's build script.
//!
//! `key=value` lines <-> `Toolchain`. Must not look for anything that the file does not name.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use xtask_base::process;

/// What builds the kernel programs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Toolchain {
    pub(crate) cargo: PathBuf,
    pub(crate) rustc: PathBuf,
    pub(crate) linker: PathBuf,
    pub(crate) rustc_version: String,
    pub(crate) linker_version: String,
}

impl Toolchain {
    /// The file's text -> the toolchain, if every line is there.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| {
            text.lines().filter_map(|line| line.split_once('=')).find(|(k, _)| *k == key).map(|(_, v)| v)
        };
        Some(Self {
            cargo: value("cargo")?.into(),
            rustc: value("rustc")?.into(),
            linker: value("linker")?.into(),
            rustc_version: value("rustc-version")?.to_owned(),
            linker_version: value("linker-version")?.to_owned(),
        })
    }

    pub(crate) fn to_text(&self) -> String {
        let Self { cargo, rustc, linker, rustc_version, linker_version } = self;
        format!(
            "cargo={}\nrustc={}\nlinker={}\nrustc-version={rustc_version}\nlinker-version={linker_version}\n",
            cargo.display(),
            rustc.display(),
            linker.display()
        )
    }

    /// True when the programs are still there, in the versions that `setup` saw.
    pub(crate) fn is_unchanged(&self) -> bool {
        process::is_executable(&self.cargo)
            && version_line(&self.rustc).as_ref() == Some(&self.rustc_version)
            && version_line(&self.linker).as_ref() == Some(&self.linker_version)
    }
}

/// The first line of `program --version`.
pub(crate) fn version_line(program: &Path) -> Option<String> {
    let said = process::capture(Command::new(program).arg("--version")).ok()?;
    said.lines().next().map(|line| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toolchain() -> Toolchain {
        Toolchain {
            cargo: "/r/bin/cargo".into(),
            rustc: "/r/bin/rustc".into(),
            linker: "/t/bpf-linker".into(),
            rustc_version: "rustc 1.97.0-nightly (3daf2bc98 2026-06-01)".to_owned(),
            linker_version: "bpf-linker 0.13.0".to_owned(),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(Toolchain::parse(&toolchain().to_text()), Some(toolchain()));
    }

    #[test]
    fn a_file_that_lacks_a_line_is_no_toolchain() {
        let text = toolchain().to_text().replace("linker=", "linked=");
        assert_eq!(Toolchain::parse(&text), None);
        assert_eq!(Toolchain::parse(""), None);
    }

    #[test]
    fn programs_that_vanished_are_a_change() {
        assert!(!toolchain().is_unchanged());
    }
}
