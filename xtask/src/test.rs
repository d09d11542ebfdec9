//! `test`: every test that this machine can run, and a plain word about the rest.
//!
//! Workspace -> passed or not, stage by stage. Must not skip anything without saying so.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};

use crate::{
    build, chart, image, outcome::NotPermitted, process, prometheus, setup, vm, workloads,
    workspace::Workspace,
};

/// Run the tests: units and properties, then as root on this kernel, then on the others in QEMU, then under Miri.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask test                                     everything; without root it says what was not run and exits with 4
  sudo -E cargo xtask test                             the same with the tests that need root
  sudo -E cargo xtask test --only build --only root    what a change of a test needs to be tried again")]
pub(crate) struct Args {
    /// Run only this stage; may be given several times. What it needs from those before it must be there.
    #[arg(long, value_name = "STAGE", value_parser = STAGES)]
    only: Vec<String>,
}

/// In their order.
const STAGES: [&str; 14] = [
    "setup",
    "units",
    "build",
    "workloads",
    "chart",
    "rules",
    "root",
    "prometheus",
    "containers",
    "ownership",
    "counters",
    "explain",
    "vm",
    "miri",
];

const NO_MIRI: &str = "miri: not run (no nightly with Miri installed); decode tests ran natively";
const NO_ROOT: &str = "the root tests (memtrace/tests/root: real probes, real kills; containers: real pods; \
ownership and counters: allocators in live programs) were not run: they need root; run `sudo -E cargo xtask test`";

const NO_VM: &str = "vm: not run";

/// A stage that ended well, or was not run.
#[derive(Debug)]
struct Stage {
    name: &'static str,
    took: Option<Duration>,
}

pub(crate) fn run(Args { only }: &Args) -> Result<()> {
    let workspace = Workspace::find()?;
    let is_wanted = |name: &str| only.is_empty() || only.iter().any(|wanted| wanted == name);
    let vm_cannot = vm::cannot_run();
    let mut stages = Vec::new();
    let mut stage = |name: &'static str, work: &dyn Fn(&Workspace) -> Result<bool>| -> Result<bool> {
        if !is_wanted(name) {
            return Ok(true);
        }
        let start = Instant::now();
        let ran = work(&workspace)?;
        stages.push(Stage { name, took: ran.then(|| start.elapsed()) });
        Ok(ran)
    };
    stage("setup", &|workspace| setup::ensure(workspace).map(|_| true))?;
    // Waits for the network, while what comes next waits for the processor; over before anything is timed.
    let fetching = (vm_cannot.is_none() && is_wanted("vm")).then(|| thread::spawn(vm::fetch));
    stage("units", &units)?;
    stage("build", &|workspace| build::build(workspace).map(|()| true))?;
    stage("workloads", &workloads)?;
    stage("chart", &|workspace| chart::check(workspace, false).map(|()| true))?;
    stage("rules", &|workspace| prometheus::rules(workspace).map(|()| true))?;
    if let Some(fetching) = fetching {
        fetching.join().map_err(|_| anyhow!("failed to fetch the guests' packages"))??;
    }
    let as_root = stage("root", &root)?;
    stage("prometheus", &scraped)?;
    stage("containers", &containers)?;
    stage("ownership", &ownership)?;
    stage("counters", &counters)?;
    stage("explain", &explain)?;
    let on_all = stage("vm", &|workspace| match &vm_cannot {
        Some(why) => {
            println!("{NO_VM}: {why}");
            Ok(false)
        }
        None => vm::boot_built(workspace).map(|()| true),
    })?;
    stage("miri", &miri)?;
    println!("{}", summary(&stages));
    let missing =
        [(as_root, NO_ROOT.to_owned()), (on_all, format!("{NO_VM}: {}", vm_cannot.unwrap_or_default()))];
    let missing: Vec<String> = missing.into_iter().filter(|(ran, _)| !ran).map(|(_, why)| why).collect();
    if missing.is_empty() { Ok(()) } else { Err(NotPermitted(missing.join("; ")).into()) }
}

fn units(workspace: &Workspace) -> Result<bool> {
    process::run(workspace.cargo().args(["test", "--workspace", "--exclude", "memtrace-ebpf"]))?;
    Ok(true)
}

fn root(workspace: &Workspace) -> Result<bool> {
    if !rustix::process::geteuid().is_root() {
        println!("{NO_ROOT}");
        return Ok(false);
    }
    if process::find("tmux").is_none() {
        let otherwise = "Install tmux: the live view is tested in it.";
        setup::Debian::detect().install(&["tmux"], otherwise)?;
    }
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--package", "memtrace", "--test", "root", "--", "--test-threads=1"]);
    // Programs that nobody here wrote.
    process::run(
        cargo.env("MEMTRACE_BIN", workspace.memtrace()).env("MEMTRACE_TEST_TREE", vm::small_root()?),
    )?;
    Ok(true)
}

/// Pods in a containerd of the tests' own, and memtrace's image among them.
fn containers(workspace: &Workspace) -> Result<bool> {
    if !rustix::process::geteuid().is_root() {
        return Ok(false);
    }
    image::ensure_runtime()?;
    let images = image::for_tests(workspace)?;
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--package", "memtrace", "--test", "containers", "--", "--test-threads=1"]);
    process::run(cargo.env("MEMTRACE_BIN", workspace.memtrace()).env("MEMTRACE_TEST_IMAGES", images))?;
    Ok(true)
}

/// The series, scraped by Prometheus for a short time; `cargo xtask prometheus` is the long form.
fn scraped(workspace: &Workspace) -> Result<bool> {
    if !rustix::process::geteuid().is_root() {
        return Ok(false);
    }
    prometheus::scrape(workspace, &workspace.memtrace(), Duration::from_secs(24))?;
    Ok(true)
}

/// The programs that the next two stages watch.
fn workloads(workspace: &Workspace) -> Result<bool> {
    if !rustix::process::geteuid().is_root() {
        return Ok(false);
    }
    workloads::build(workspace)?;
    Ok(true)
}

/// Every allocator recognised in a live program. Reads other processes' memory, so it needs root as well.
fn ownership(workspace: &Workspace) -> Result<bool> {
    if !rustix::process::geteuid().is_root() {
        return Ok(false);
    }
    let test = ["test", "--package", "memtrace", "--test", "ownership", "--", "--test-threads=1"];
    process::run(workspace.cargo().args(test))?;
    Ok(true)
}

/// What allocators' own counters say, against the programs themselves.
fn counters(workspace: &Workspace) -> Result<bool> {
    if !rustix::process::geteuid().is_root() {
        return Ok(false);
    }
    // Optimised, for they are told what a reading costs, and what it is worth in the time that the daemon gives it.
    process::run(build::release_test(workspace, "counters")?.args([
        "--",
        "--test-threads=1",
        "--nocapture",
    ]))?;
    Ok(true)
}

/// One page on real programs in cgroups of their own.
fn explain(workspace: &Workspace) -> Result<bool> {
    if !rustix::process::geteuid().is_root() {
        return Ok(false);
    }
    let test = ["test", "--package", "memtrace", "--test", "explain", "--", "--test-threads=1"];
    process::run(workspace.cargo().args(test))?;
    Ok(true)
}

fn miri(workspace: &Workspace) -> Result<bool> {
    if process::capture(nightly(workspace).args(["miri", "--version"])).is_err() {
        println!("{NO_MIRI}");
        return Ok(false);
    }
    process::run(nightly(workspace).args(["miri", "test", "--package", "memtrace-common"]))?;
    process::run(nightly(workspace).args([
        "miri",
        "test",
        "--package",
        "memtrace",
        "--lib",
        "ingest::decode",
    ]))?;
    Ok(true)
}

/// rustup's own `cargo`, which alone knows `+nightly`; it must not install what is not there.
fn nightly(workspace: &Workspace) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.arg("+nightly").current_dir(workspace.root()).env("RUSTUP_AUTO_INSTALL", "0");
    cargo
}

fn summary(stages: &[Stage]) -> String {
    let shown = stages.iter().map(|Stage { name, took }| match took {
        Some(took) => format!("{name} {:.1} s", took.as_secs_f64()),
        None => format!("{name} NOT RUN"),
    });
    format!("test: {}", shown.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_what_was_not_run() {
        let stages = [
            Stage { name: "units", took: Some(Duration::from_millis(1250)) },
            Stage { name: "miri", took: None },
        ];
        assert_eq!(summary(&stages), "test: units 1.2 s, miri NOT RUN");
    }
}
