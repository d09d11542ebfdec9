//! `image`: memtrace as a container image, made of the one static binary without a container engine.
//!
//! target/release/memtrace -> target/images/memtrace.tar, which `ctr images import`, `podman load` and `skopeo` take. Must
//! not put anything into it but the binary: there is no shell, no libc and no package in it.

mod oci;
mod tar;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use self::{oci::Image, tar::Layer};
use xtask_base::{build, debian::Debian, elf, process, workspace::Workspace};

/// The image may have so many bytes.
const LARGEST: usize = 20 << 20;
/// Debian's static busybox, for the images of tests.
const BUSYBOX: [&str; 2] = ["/bin/busybox", "/usr/bin/busybox"];

/// Build the container image: an OCI archive that contains only the static binary.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask image
  cargo xtask image --name registry.example/memtrace:0.1.0
  ctr -n k8s.io images import target/images/memtrace.tar")]
pub(crate) struct Args {
    /// Name and tag of the image.
    #[arg(long, default_value = "docker.io/memtrace/memtrace:latest")]
    name: String,
    /// Use the binary that is there, whatever its age.
    #[arg(long, hide = true)]
    no_build: bool,
    /// Make the images that tests run, and install the runtime for them.
    #[arg(long, hide = true)]
    tests: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let workspace = Workspace::find()?;
    if !args.no_build {
        build::build(&workspace)?;
    }
    if args.tests {
        ensure_runtime()?;
        println!("{}", for_tests(&workspace)?.display());
        return Ok(());
    }
    let path = memtrace(&workspace, &args.name, &directory(&workspace))?;
    let size = fs::metadata(&path)?.len();
    println!("{}: {:.1} MiB, {}", workspace.relative(&path), size as f64 / f64::from(1 << 20), args.name);
    Ok(())
}

/// Where the image is written that is for use.
fn directory(workspace: &Workspace) -> PathBuf {
    workspace.root().join("target/images")
}

/// The image of memtrace; the binary has to be built.
fn memtrace(workspace: &Workspace, name: &str, directory: &Path) -> Result<PathBuf> {
    let binary = workspace.memtrace();
    let program = fs::read(&binary).with_context(|| format!("failed to read {}", binary.display()))?;
    if !elf::is_static(&program)? {
        bail!("{} is not static: an image without libc cannot run it", binary.display());
    }
    let mut layer = Layer::default();
    layer.file("memtrace", 0o755, &program)?;
    let image = Image { name, entrypoint: &["/memtrace"], command: &["daemon"], layer: layer.finish()? };
    let archive = image.archive()?;
    if archive.len() > LARGEST {
        bail!("the image has {} bytes, more than {LARGEST}", archive.len());
    }
    write(directory, "memtrace.tar", &archive)
}

/// The images that tests run, in a directory of their own: memtrace, and busybox as a sandbox and as a shell.
pub(crate) fn for_tests(workspace: &Workspace) -> Result<PathBuf> {
    let directory = directory(workspace).join("tests");
    memtrace(workspace, "docker.io/local/memtrace:1", &directory)?;
    let find = || BUSYBOX.iter().find_map(|path| fs::read(path).ok());
    let busybox = match find() {
        Some(busybox) => busybox,
        None => {
            Debian::detect().install(&["busybox-static"], "Install a static busybox as /bin/busybox.")?;
            find().context("failed to find busybox after its installation")?
        }
    };
    if !elf::is_static(&busybox)? {
        bail!("busybox is not static: install the package busybox-static");
    }
    let mut layer = Layer::default();
    for directory in ["bin", "tmp", "proc", "sys", "dev", "etc"] {
        layer.directory(directory)?;
    }
    layer.file("bin/busybox", 0o755, &busybox)?;
    for tool in ["sh", "sleep", "tail", "head", "cat", "dd"] {
        layer.link(&format!("bin/{tool}"), "busybox")?;
    }
    let layer = layer.finish()?;
    for (name, file, command) in [
        ("docker.io/local/pause:1", "pause.tar", &["/bin/sleep", "100000"][..]),
        ("docker.io/local/busybox:1", "busybox.tar", &["/bin/sh"][..]),
    ] {
        let image = Image { name, entrypoint: &[], command, layer: layer.clone() };
        write(&directory, file, &image.archive()?)?;
    }
    Ok(directory)
}

/// The runtimes that tests of containers start; installed when they are not there and can be.
pub(crate) fn ensure_runtime() -> Result<()> {
    let programs = ["containerd", "runc", "podman"];
    if programs.iter().all(|program| process::find(program).is_some()) {
        return Ok(());
    }
    Debian::detect().install(&programs, "Install containerd 1.6 or later, runc, and podman 4 or later.")
}

fn write(directory: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    fs::create_dir_all(directory).with_context(|| format!("failed to create {}", directory.display()))?;
    let path = directory.join(name);
    fs::write(&path, bytes).with_context(|| format!("failed to write {}", path.display()))?;
    Ok(path)
}
