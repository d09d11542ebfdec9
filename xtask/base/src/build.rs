//! Builds of memtrace: one static binary with the kernel programs inside.
//!
//! Workspace -> target/release/memtrace. Must not build anything that `cargo build` would build otherwise:
//! the kernel programs are memtrace's build script's work.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{elf, process, workspace::Workspace};

/// Builds with the toolchain that `setup` found.
pub fn build(workspace: &Workspace) -> Result<()> {
    let mut cargo = statically(workspace, "build", "release")?;
    process::run(cargo.args(["--package", "memtrace"]))?;
    let built = built(workspace, "release")?;
    publish(&without_symbols(&built)?, &workspace.memtrace())?;
    describe(workspace, &workspace.memtrace())
}

/// Builds what is to be seen at work and not to be measured, in the profile of the tests: without the release's LTO.
pub fn quick(workspace: &Workspace) -> Result<PathBuf> {
    let mut cargo = statically(workspace, "build", "tests")?;
    // The test is for what it brings: with the tests' dependencies some features are on, and what is built without them
    // would be built again for the tests.
    process::run(cargo.args(["--package", "memtrace", "--bin", "memtrace", "--test", "replay"]))?;
    let built = built(workspace, "tests")?;
    describe(workspace, &built)?;
    Ok(built)
}

/// The root tests as one static program, for a guest that has no libc.
pub fn root_tests(workspace: &Workspace) -> Result<PathBuf> {
    let mut cargo = tests(workspace)?;
    cargo.args(["--package", "memtrace", "--test", "root"]);
    cargo.args(["--no-run", "--message-format", "json-render-diagnostics"]);
    let said = process::capture(&mut cargo)?;
    executable(&said).context("failed to find the root tests in what cargo said")
}

/// `cargo test` for all tests of memtrace, static, so that guests run the same programs as this machine.
pub fn tests(workspace: &Workspace) -> Result<Command> {
    statically(workspace, "test", "tests")
}

fn built(workspace: &Workspace, profile: &str) -> Result<PathBuf> {
    Ok(workspace.target().join(host()?).join(profile).join("memtrace"))
}

/// The test program among cargo's messages; memtrace itself is built for it as well.
fn executable(messages: &str) -> Option<PathBuf> {
    let messages =
        messages.lines().rev().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut tests = messages.filter_map(|message| {
        let is_test = message.get("profile")?.get("test")?.as_bool()?;
        message.get("executable")?.as_str().filter(|_| is_test).map(PathBuf::from)
    });
    tests.next()
}

/// A cargo whose programs need no loader.
fn statically(workspace: &Workspace, verb: &str, profile: &str) -> Result<Command> {
    let host = host()?;
    let mut cargo = workspace.cargo();
    // Flags for one target leave build scripts and macros alone, but only where no RUSTFLAGS overrule them.
    let variable = flags_variable(&host);
    let flags = [env::var("RUSTFLAGS").ok(), env::var(&variable).ok()].into_iter().flatten();
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    cargo.env(variable, static_flags(flags));
    cargo.args([verb, "--profile", profile, "--target", &host, "--target-dir"]).arg(workspace.target());
    Ok(cargo)
}

/// The target that the default compiler builds for.
fn host() -> Result<String> {
    let said = process::capture(Command::new(env::var_os("RUSTC").unwrap_or("rustc".into())).arg("-vV"))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("failed to read the host's target from rustc -vV")
}

fn flags_variable(target: &str) -> String {
    format!("CARGO_TARGET_{}_RUSTFLAGS", target.to_uppercase().replace(['-', '.'], "_"))
}

fn static_flags(given: impl Iterator<Item = String>) -> String {
    given.chain(["-C target-feature=+crt-static".to_owned()]).collect::<Vec<_>>().join(" ")
}

/// A copy beside it without its symbol table, which nothing reads at run time and which is a seventh of it. Not by the
/// profile: that holds for the kernel programs too, which are nothing without theirs.
fn without_symbols(built: &Path) -> Result<PathBuf> {
    let small = built.with_extension("stripped");
    let strip = Command::new("strip").arg("--strip-all").arg("-o").arg(&small).arg(built).status();
    let status = strip.context("failed to run strip: install binutils")?;
    anyhow::ensure!(status.success(), "failed to strip {}: {status}", built.display());
    Ok(small)
}

/// Puts a copy in place at once, so that nobody ever runs half a binary; leaves an equal one alone.
fn publish(built: &Path, to: &Path) -> Result<()> {
    let new = fs::read(built).with_context(|| format!("failed to read {}", built.display()))?;
    if fs::read(to).is_ok_and(|old| old == new) {
        return Ok(());
    }
    let dir = to.parent().with_context(|| format!("failed to find the directory of {}", to.display()))?;
    fs::create_dir_all(dir).with_context(|| format!("failed to create {}", dir.display()))?;
    let part = to.with_extension("part");
    fs::copy(built, &part).with_context(|| format!("failed to write {}", part.display()))?;
    fs::rename(&part, to).with_context(|| format!("failed to replace {}", to.display()))
}

fn describe(workspace: &Workspace, binary: &Path) -> Result<()> {
    let object = workspace.kernel_object();
    let file = fs::read(binary).with_context(|| format!("failed to read {}", binary.display()))?;
    let linkage = if elf::is_static(&file)? { "static" } else { "NOT static: needs a dynamic loader" };
    if let Ok(object) = fs::metadata(&object) {
        println!("kernel programs: {} KiB", object.len().div_ceil(1024));
    }
    println!("{}: {:.1} MiB, {linkage}", workspace.relative(binary), mib(file.len()));
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn mib(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_variable_is_the_one_that_cargo_reads() {
        assert_eq!(
            flags_variable("x86_64-unknown-linux-gnu"),
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS"
        );
    }

    #[test]
    fn the_test_program_is_the_one_that_cargo_names() {
        let message = |executable: &str, is_test: bool| {
            serde_json::json!({"executable": executable, "profile": {"test": is_test}}).to_string()
        };
        let said = [message("/t/root-1", true), message("/t/memtrace", false), "{}".to_owned()].join("\n");
        assert_eq!(executable(&said), Some("/t/root-1".into()));
        assert_eq!(executable("{}"), None);
    }

    #[test]
    fn given_flags_are_kept() {
        assert_eq!(static_flags(std::iter::empty()), "-C target-feature=+crt-static");
        let given = ["-D warnings".to_owned()].into_iter();
        assert_eq!(static_flags(given), "-D warnings -C target-feature=+crt-static");
    }

    #[test]
    fn an_equal_binary_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (built, to) = (dir.path().join("built"), dir.path().join("out/memtrace"));
        fs::write(&built, "new").unwrap();
        publish(&built, &to).unwrap();
        let first = fs::metadata(&to).unwrap().modified().unwrap();
        publish(&built, &to).unwrap();
        assert_eq!(fs::metadata(&to).unwrap().modified().unwrap(), first);
        assert_eq!(fs::read_to_string(&to).unwrap(), "new");
    }
}
