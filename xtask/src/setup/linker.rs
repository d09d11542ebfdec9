//! bpf-linker, in a version that reads what the compiler writes.
//!
//! LLVM version of the compiler -> a linker that is new enough; built into target/tools when there is none.
//! Must not replace a linker outside of target/tools.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use xtask_base::{
    debian::{Debian, advise},
    process,
    workspace::Workspace,
};

use super::{BY_HAND, say, toolchain::version_line};

const VERSION: &str = "0.13.0";
/// The oldest LLVM that the pinned version can be built against here.
const OLDEST_LLVM: u32 = 22;

/// A linker that was seen to start.
#[derive(Debug)]
pub(crate) struct Linker {
    pub(crate) path: PathBuf,
    pub(crate) version: String,
}

/// Finds a linker for a compiler with this LLVM, or builds one.
pub(crate) fn ensure(workspace: &Workspace, rustc_llvm: u32, debian: &mut Debian) -> Result<Linker> {
    let own = workspace.tools().join("bin/bpf-linker");
    for path in [Some(own.clone()), process::find("bpf-linker")].into_iter().flatten() {
        if let Some(linker) = examine(path, rustc_llvm) {
            return Ok(linker);
        }
    }
    build(workspace, rustc_llvm.max(OLDEST_LLVM), debian)?;
    let built = examine(own, rustc_llvm).context("failed to use the bpf-linker that was just built");
    advise(built, BY_HAND)
}

fn examine(path: PathBuf, rustc_llvm: u32) -> Option<Linker> {
    let version = version_line(&path)?;
    let llvm = fs::read(&path).ok().and_then(|file| llvm_of(&file));
    match llvm {
        Some(llvm) if llvm < rustc_llvm => {
            say(&format!(
                "not usable: {} has LLVM {llvm}, but the compiler has LLVM {rustc_llvm}",
                path.display()
            ));
            return None;
        }
        Some(llvm) => say(&format!("{version} at {}, LLVM {llvm}", path.display())),
        None => say(&format!(
            "{version} at {}: its LLVM version is unknown, assuming that it fits",
            path.display()
        )),
    }
    Some(Linker { path, version })
}

/// The major version of the LLVM that a linker has inside (`LLVM22.1.8`) or loads (`libLLVM.so.22.1`).
/// `bpf-linker --version` does not print it. None for a linker that finds its LLVM only when it runs.
fn llvm_of(file: &[u8]) -> Option<u32> {
    let starts = file.windows(4).enumerate().filter(|(_, window)| window == b"LLVM").map(|(at, _)| at + 4);
    starts.filter_map(|at| major(file.get(at..)?)).max()
}

fn major(after: &[u8]) -> Option<u32> {
    let after = after.strip_prefix(b".so.").or_else(|| after.strip_prefix(b"-")).unwrap_or(after);
    let digits = after.get(..2)?;
    let plausible = digits.iter().all(u8::is_ascii_digit) && matches!(after.get(2), Some(b'.'));
    plausible.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

fn build(workspace: &Workspace, llvm: u32, debian: &mut Debian) -> Result<()> {
    let prefix = format!("/usr/lib/llvm-{llvm}");
    if !Path::new(&prefix).join("include").is_dir() {
        debian.install(&[&format!("llvm-{llvm}-dev")], BY_HAND)?;
    }
    say("building bpf-linker once into target/tools (about half a minute)");
    let mut cargo = workspace.cargo();
    cargo.args(["install", "bpf-linker", "--version", &format!("={VERSION}"), "--locked", "--force"]);
    cargo.args(["--no-default-features", "--features", &format!("llvm-{llvm}"), "--root"]);
    cargo.arg(workspace.tools()).env("LLVM_PREFIX", prefix);
    // What it does is LLVM's work, and LLVM is a library here: optimising the rest would triple the time of this build.
    for (setting, value) in [("OPT_LEVEL", "0"), ("LTO", "off"), ("CODEGEN_UNITS", "16"), ("DEBUG", "0")] {
        cargo.env(format!("CARGO_PROFILE_RELEASE_{setting}"), value);
    }
    advise(process::run(&mut cargo), BY_HAND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_llvm_of_a_linker_is_the_one_it_loads() {
        assert_eq!(llvm_of(b"\0libLLVM.so.22.1\0LLVM command line: \0"), Some(22));
        assert_eq!(llvm_of(b"\0libLLVM-19.so.1\0"), Some(19));
    }

    #[test]
    fn the_llvm_of_a_static_linker_is_the_one_it_names() {
        assert_eq!(llvm_of(b"\0LLVM21.1.8-rust-1.93.0-nightly\0LLVM\0"), Some(21));
    }

    #[test]
    fn a_linker_that_names_no_llvm_is_unknown() {
        assert_eq!(llvm_of(b"LLVM ERROR: LLVM99\0LLVM"), None);
    }
}
