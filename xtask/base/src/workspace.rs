//! Where things are in this workspace.
//!
//! Environment -> paths and the cargo to call. Must not read or write what is there.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

/// The checkout we work on.
#[derive(Clone, Debug)]
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Finds the checkout: the package that cargo runs, else the current directory upwards.
    pub fn find() -> Result<Self> {
        let start = match env::var_os("CARGO_MANIFEST_DIR") {
            Some(package) => PathBuf::from(package),
            None => env::current_dir().context("failed to find the current directory")?,
        };
        for dir in start.ancestors() {
            let manifest = fs::read_to_string(dir.join("Cargo.toml")).unwrap_or_default();
            if manifest.lines().any(|line| line.trim() == "[workspace]") {
                return Ok(Self { root: dir.to_owned() });
            }
        }
        bail!("failed to find the workspace: no Cargo.toml with [workspace] above {}", start.display())
    }

    /// Its directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The same place whatever CARGO_TARGET_DIR says: memtrace's build script looks here too.
    pub fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    /// Where tools are put that this machine lacks.
    pub fn tools(&self) -> PathBuf {
        self.target().join("tools")
    }

    /// What `setup` writes and memtrace's build script reads.
    pub fn toolchain_file(&self) -> PathBuf {
        self.tools().join("bpf-toolchain")
    }

    /// The binary that `build` makes.
    pub fn memtrace(&self) -> PathBuf {
        self.target().join("release").join("memtrace")
    }

    /// The kernel programs as the inner cargo leaves them.
    pub fn kernel_object(&self) -> PathBuf {
        self.target().join("bpf/bpfel-unknown-none/release/memtrace-ebpf")
    }

    /// The cargo that runs us, at the root of the workspace.
    ///
    /// It is not told which package's program calls it: ring's build script watches these variables, so that every build
    /// that another of our programs began would compile ring, and all that stands on it, anew.
    pub fn cargo(&self) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root);
        for (name, _) in env::vars_os().filter(|(name, _)| is_of_a_package(&name.to_string_lossy())) {
            cargo.env_remove(name);
        }
        cargo
    }

    /// A path as people at the root of the workspace would write it.
    pub fn relative<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }
}

/// What `cargo run` sets for the program that it runs.
fn is_of_a_package(name: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_is_not_told_which_package_calls_it() {
        let workspace = Workspace::find().unwrap();
        let cargo = workspace.cargo();
        // `cargo test` sets them for us.
        assert!(env::var_os("CARGO_PKG_NAME").is_some());
        assert!(cargo.get_envs().any(|(name, value)| name == "CARGO_PKG_NAME" && value.is_none()));
    }

    #[test]
    fn the_workspace_is_the_directory_above_this_package() {
        let workspace = Workspace::find().unwrap();
        assert!(workspace.root().join("xtask/Cargo.toml").is_file());
        assert_eq!(workspace.relative(&workspace.memtrace()).to_string(), "target/release/memtrace");
    }
}
