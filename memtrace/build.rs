//! Builds the kernel programs and hands them to the library.
//!
//! Sources of memtrace-ebpf and the toolchain that `cargo xtask setup` found -> OUT_DIR/memtrace.bpf.o.
//! Must not look for a toolchain itself, and must not let the outer cargo's settings into the inner build.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

const TARGET: &str = "bpfel-unknown-none";

/// Settings of the outer cargo, exact names, that would change the inner build.
const LEAKS: [&str; 13] = [
    "CARGO",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_RUSTC",
    "CARGO_BUILD_RUSTC_WRAPPER",
    "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
];

/// What `cargo xtask setup` wrote.
struct Toolchain {
    cargo: PathBuf,
    rustc: PathBuf,
    linker: PathBuf,
}

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            println!("cargo::error={what}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let root = package.parent().ok_or("failed to find the workspace above memtrace")?;
    let file = root.join("target/tools/bpf-toolchain");
    watch(root, &file);
    let toolchain = read(&file).ok_or_else(|| {
        let file = file.strip_prefix(root).unwrap_or(&file).display();
        format!("the toolchain for the kernel programs is not set up ({file}): run `cargo xtask setup`")
    })?;
    let object = compile(root, &toolchain)?;
    let to = PathBuf::from(variable("OUT_DIR")?).join("memtrace.bpf.o");
    fs::copy(&object, &to).map_err(|error| format!("failed to copy {}: {error}", object.display()))?;
    Ok(())
}

fn watch(root: &Path, toolchain: &Path) {
    let sources = ["memtrace-ebpf/src", "memtrace-ebpf/Cargo.toml", "memtrace-common/src"];
    let settings = ["memtrace-common/Cargo.toml", "Cargo.toml", "Cargo.lock"];
    for path in sources.into_iter().chain(settings) {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    println!("cargo::rerun-if-changed={}", toolchain.display());
}

/// The toolchain, if the file is complete and names programs that are still there.
fn read(file: &Path) -> Option<Toolchain> {
    let text = fs::read_to_string(file).ok()?;
    let path = |key: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once('='));
        lines.find(|(k, _)| *k == key).map(|(_, value)| PathBuf::from(value)).filter(|path| path.is_file())
    };
    Some(Toolchain { cargo: path("cargo")?, rustc: path("rustc")?, linker: path("linker")? })
}

/// Runs the inner cargo in a target directory of its own: the outer one is locked while we run.
fn compile(root: &Path, toolchain: &Toolchain) -> Result<PathBuf, String> {
    let Toolchain { cargo, rustc, linker } = toolchain;
    let target_dir = root.join("target/bpf");
    let mut command = Command::new(cargo);
    for (name, _) in env::vars_os().filter(|(name, _)| is_leak(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    command
        .args(["build", "--quiet", "--locked", "--release", "--package", "memtrace-ebpf"])
        .args(["--target", TARGET, "-Z", "build-std=core", "--manifest-path"])
        .arg(root.join("Cargo.toml"))
        .current_dir(root)
        .env("RUSTC", rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", &target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(linker, &variable("CARGO_CFG_TARGET_ARCH")?))
        .env("PATH", path_with(linker)?);
    let output = command.output().map_err(|error| format!("failed to run {}: {error}", cargo.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        eprintln!("{said}");
        return Err(format!("failed to build the kernel programs ({}): see below", output.status));
    }
    for line in said.lines() {
        println!("cargo::warning={line}");
    }
    Ok(target_dir.join(TARGET).join("release/memtrace-ebpf"))
}

/// True for a variable that speaks about the outer build. Where crates come from stays as it is.
fn is_leak(name: &str) -> bool {
    let prefixes = ["CARGO_PROFILE_", "CARGO_CFG_", "CARGO_FEATURE_"];
    LEAKS.contains(&name)
        || prefixes.iter().any(|prefix| name.starts_with(prefix))
        || name.starts_with("CARGO_TARGET_") && name.ends_with("_RUSTFLAGS")
}

/// The flags that aya-build gives, and the linker.
fn flags(linker: &Path, arch: &str) -> OsString {
    let arch = if arch.starts_with("riscv64") { "riscv64" } else { arch };
    let mut flags = OsString::from(format!("--cfg=bpf_target_arch=\"{arch}\"\x1f-Cdebuginfo=2\x1f"));
    flags.push("-Clink-arg=--btf\x1f-Clinker=");
    flags.push(linker);
    flags
}

fn path_with(linker: &Path) -> Result<OsString, String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let dirs = linker.parent().map(Path::to_owned).into_iter().chain(env::split_paths(&path));
    env::join_paths(dirs).map_err(|error| format!("failed to put the linker on PATH: {error}"))
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("failed to read {name}, which cargo sets: {error}"))
}
