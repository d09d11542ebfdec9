//! `setup`: make this machine able to build.
//!
//! Machine -> target/tools/bpf-toolchain, written only when everything in it was seen to work.
//! Must not touch rustup: it never installs, updates or selects a toolchain.

use std::{env, fs};

use anyhow::{Context as _, Result};

use xtask_base::{
    debian::{Debian, advise},
    process,
    workspace::Workspace,
};

mod linker;
mod rust;
mod toolchain;

use rust::Rust;
pub(crate) use toolchain::Toolchain;

/// Install what the build needs and this machine lacks.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {}

const HELP: &str = "The kernel programs need two tools in addition to the default Rust:
  a Rust with library source  searched in MEMTRACE_BPF_RUST (a directory with bin/rustc and
                              bin/cargo), rustup toolchains with rust-src (nightly first), and
                              /usr/bin; as root on Debian, otherwise installed (rustc-web)
  bpf-linker                  searched in target/tools/bin and PATH; otherwise built there

Examples:
  cargo xtask setup
  MEMTRACE_BPF_RUST=/opt/rust-nightly cargo xtask setup";

/// What a user of rustup would run; we never run it ourselves.
const BY_HAND: &str = "With rustup, run these two and then `cargo xtask setup` again:
  rustup toolchain install nightly --component rust-src
  cargo install bpf-linker";

pub(crate) fn run(_args: &Args) -> Result<()> {
    ensure(&Workspace::find()?).map(|_| ())
}

/// The toolchain for the kernel programs; found, installed or built when it is not there yet.
pub(crate) fn ensure(workspace: &Workspace) -> Result<Toolchain> {
    let known = fs::read_to_string(workspace.toolchain_file()).ok();
    let known = known.as_deref().and_then(Toolchain::parse);
    let toolchain = match known.filter(|toolchain| is_wanted(toolchain) && toolchain.is_unchanged()) {
        Some(toolchain) if process::find("cc").is_some() => toolchain,
        _ => prepare(workspace)?,
    };
    println!(
        "ready: {} with library source, {} ({})",
        toolchain.rustc_version.split(" (").next().unwrap_or_default(),
        toolchain.linker_version,
        workspace.relative(&toolchain.linker)
    );
    Ok(toolchain)
}

/// MEMTRACE_BPF_RUST overrules what an earlier setup chose.
fn is_wanted(toolchain: &Toolchain) -> bool {
    env::var_os(rust::OVERRIDE).is_none_or(|dir| toolchain.rustc.starts_with(dir))
}

fn prepare(workspace: &Workspace) -> Result<Toolchain> {
    let mut debian = Debian::detect();
    if process::find("cc").is_none() {
        say("no C compiler found (it compiles SQLite)");
        debian.install(&["gcc", "libc6-dev"], "Install a C compiler with the name `cc`.")?;
    }
    let rust = find_rust(&mut debian)?;
    say(&format!("{}, LLVM {}, has library source", rust.version.line, rust.version.llvm));
    let linker = linker::ensure(workspace, rust.version.llvm, &mut debian)?;
    let toolchain = Toolchain {
        cargo: rust.cargo,
        rustc: rust.rustc,
        linker: linker.path,
        rustc_version: rust.version.line,
        linker_version: linker.version,
    };
    let file = workspace.toolchain_file();
    fs::create_dir_all(workspace.tools()).context("failed to create target/tools")?;
    fs::write(&file, toolchain.to_text()).with_context(|| format!("failed to write {}", file.display()))?;
    say(&format!("wrote {}", workspace.relative(&file)));
    Ok(toolchain)
}

fn find_rust(debian: &mut Debian) -> Result<Rust> {
    say("looking for a Rust with library source");
    let refused = match rust::find()? {
        Ok(rust) => return Ok(rust),
        Err(refused) => refused,
    };
    for reason in &refused {
        say(&format!("not usable: {reason}"));
    }
    debian.install(&["rustc-web", "cargo-web", "rust-web-src"], BY_HAND)?;
    advise(rust::system().context("failed to use the installed packages"), BY_HAND)
}

fn say(what: &str) {
    println!("setup: {what}");
}
