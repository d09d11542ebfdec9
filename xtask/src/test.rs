//! `test`: every test that this machine can run, and a plain word about the rest.
//!
//! Workspace -> passed or not, stage by stage. Must not skip anything without saying so.

use std::{process::Command, time::Duration};

use anyhow::{Result, anyhow};

use xtask_base::{build, debian::Debian, outcome::NotPermitted, packages, process, workspace::Workspace};

use crate::{
    chart, image, parts, prometheus, setup,
    stages::{self, Optional, Stage},
    workloads,
};

/// Run all tests: unit and property tests, tests on this kernel as root, tests on other kernels in QEMU, and Miri.
#[derive(Debug, clap::Args)]
#[command(after_help = "If a stage fails, the others still run, except those that need its output.

Examples:
  cargo xtask test                                     without root: skips some tests, exits with 4
  sudo -E cargo xtask test                             all tests, including those that need root
  sudo -E cargo xtask test --only build --only root    only the root tests, after a change")]
pub(crate) struct Args {
    /// Run only this stage; may be repeated. The output of the stages that it needs must exist.
    #[arg(long, value_name = "STAGE", value_parser = STAGES.map(|stage| stage.name))]
    only: Vec<String>,
}

/// In their order. Beside the others run those that trace nothing here: they wait for the network, have a compiler of
/// their own, or a kernel of their own.
const STAGES: [Stage; 17] = [
    Stage::new("setup", &[], |workspace| setup::ensure(workspace).map(|_| ())),
    Stage::new("fetch", &[], fetch).where_it_can(needs_guests).beside(),
    Stage::new("workloads", &[], workloads::build).where_it_can(needs_root).beside(),
    Stage::new("chart", &[], |workspace| chart::check(workspace, false)).beside(),
    Stage::new("rules", &[], prometheus::rules).beside(),
    Stage::new("miri", &["setup"], miri).where_it_can(needs_miri).beside(),
    Stage::new("units", &["setup"], units),
    Stage::new("build", &["setup"], build::build),
    Stage::new("root", &["setup", "build", "workloads"], root).where_it_can(needs_root),
    Stage::new("hostile-node", &["setup", "build"], hostile_node).where_it_can(needs_root),
    Stage::new("prometheus", &["build"], scraped).where_it_can(needs_root),
    Stage::new("containers", &["setup", "build"], containers).where_it_can(needs_root),
    Stage::new("ownership", &["setup", "workloads"], ownership).where_it_can(needs_root),
    Stage::new("counters", &["setup", "workloads"], counters).where_it_can(needs_root),
    Stage::new("explain", &["setup", "workloads"], explain).where_it_can(needs_root),
    Stage::new("incidents", &["setup", "build"], incidents).where_it_can(needs_root),
    Stage::new("vm", &["setup", "build", "fetch"], guests).where_it_can(needs_guests).beside(),
];

const NO_MIRI: &str = "no nightly Rust with Miri is installed; the same tests ran without Miri";
const NO_ROOT: &str = "the root tests (memtrace/tests/root: real probes, real kills; hostile_node: what containers may do to the daemon; containers: real pods; \
ownership and counters: allocators in live programs; incidents: a short run of the incident bench) were skipped because they need root; run `sudo -E cargo xtask test`";

pub(crate) fn run(Args { only }: &Args) -> Result<()> {
    let is_wanted = |name: &str| only.is_empty() || only.iter().any(|wanted| wanted == name);
    stages::run("test", &Workspace::find()?, &STAGES, is_wanted)
}

fn needs_root(_workspace: &Workspace) -> Result<()> {
    let is_root = rustix::process::geteuid().is_root();
    if is_root { Ok(()) } else { Err(NotPermitted(NO_ROOT.to_owned()).into()) }
}

fn needs_guests(_workspace: &Workspace) -> Result<()> {
    packages::cannot_have().map_or(Ok(()), |why| Err(NotPermitted(format!("vm: {why}")).into()))
}

fn needs_miri(workspace: &Workspace) -> Result<()> {
    let found = process::capture(nightly(workspace).args(["miri", "--version"]));
    found.map(|_| ()).map_err(|_| Optional(NO_MIRI.to_owned()).into())
}

/// The tests of xtask are built as it is itself, all others in the profile that they share.
fn units(workspace: &Workspace) -> Result<()> {
    let mut ours = workspace.cargo();
    ours.args(["test", "--no-fail-fast"]);
    for package in ["xtask", "xtask-base", "xtask-vm", "xtask-bench", "xtask-incidents", "xtask-proof"] {
        ours.args(["--package", package]);
    }
    let mut others = build::tests(workspace)?;
    others.args(["--package", "memtrace", "--package", "memtrace-common", "--no-fail-fast"]);
    all([process::run(&mut ours), process::run(&mut others)])
}

/// One test target of memtrace that needs root; its tests share this machine, so they run one by one.
fn one_by_one(workspace: &Workspace, name: &str) -> Result<Command> {
    let mut cargo = build::tests(workspace)?;
    cargo.args(["--package", "memtrace", "--test", name, "--", "--test-threads=1"]);
    Ok(cargo)
}

fn root(workspace: &Workspace) -> Result<()> {
    if process::find("tmux").is_none() {
        let otherwise = "Install tmux: the live view is tested in it.";
        Debian::detect().install(&["tmux"], otherwise)?;
    }
    let mut tests = one_by_one(workspace, "root")?;
    tests.env("MEMTRACE_BIN", workspace.memtrace());
    // Programs that nobody here wrote.
    process::run(tests.env("MEMTRACE_TEST_TREE", packages::small_root()?))
}

/// What containers may do to the daemon.
fn hostile_node(workspace: &Workspace) -> Result<()> {
    // After each act it says how soon a kill was on the disk, and what the daemon holds.
    let mut tests = one_by_one(workspace, "hostile_node")?;
    process::run(tests.arg("--nocapture").env("MEMTRACE_BIN", workspace.memtrace()))
}

/// Pods in a containerd of the tests' own, and memtrace's image among them.
fn containers(workspace: &Workspace) -> Result<()> {
    image::ensure_runtime()?;
    let images = image::for_tests(workspace)?;
    let mut tests = one_by_one(workspace, "containers")?;
    process::run(tests.env("MEMTRACE_BIN", workspace.memtrace()).env("MEMTRACE_TEST_IMAGES", images))
}

/// The series, scraped by Prometheus for a short time; `cargo xtask prometheus` is the long form.
fn scraped(workspace: &Workspace) -> Result<()> {
    prometheus::scrape(workspace, &workspace.memtrace(), Duration::from_secs(24))
}

/// Every allocator recognised in a live program. Reads other processes' memory, so it needs root as well.
fn ownership(workspace: &Workspace) -> Result<()> {
    process::run(&mut one_by_one(workspace, "ownership")?)
}

/// What allocators' own counters say, against the programs themselves.
fn counters(workspace: &Workspace) -> Result<()> {
    process::run(one_by_one(workspace, "counters")?.arg("--nocapture"))
}

/// One page on real programs in cgroups of their own.
fn explain(workspace: &Workspace) -> Result<()> {
    process::run(&mut one_by_one(workspace, "explain")?)
}

/// A short run of the incident bench: it fails if a wrong answer is called sure. The seed is fixed, so that a change is judged
/// by what it changes.
fn incidents(workspace: &Workspace) -> Result<()> {
    let quick = ["--quick", "--seed", "1", "--jobs", "3", "--bin"].map(Into::into);
    parts::INCIDENTS
        .run(workspace, &quick.into_iter().chain([workspace.memtrace().into()]).collect::<Vec<_>>())
}

/// What the guests need from the network.
fn fetch(workspace: &Workspace) -> Result<()> {
    parts::VM.run(workspace, &["--fetch".into()])
}

/// The same tests on the other kernels.
fn guests(workspace: &Workspace) -> Result<()> {
    parts::VM.run(workspace, &["--bin".into(), workspace.memtrace().into()])
}

/// Both of Miri's runs, the second also after a failure of the first.
fn miri(workspace: &Workspace) -> Result<()> {
    let common = ["--package", "memtrace-common"];
    let decode = ["--package", "memtrace", "--lib", "ingest::decode"];
    let runs = [&common[..], &decode]
        .map(|which| process::run(nightly(workspace).args(["miri", "test", "--no-fail-fast"]).args(which)));
    all(runs)
}

/// Every error of a row of results as one.
fn all(results: impl IntoIterator<Item = Result<()>>) -> Result<()> {
    let errors: Vec<String> =
        results.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    if errors.is_empty() { Ok(()) } else { Err(anyhow!(errors.join("; "))) }
}

/// rustup's own `cargo`, which alone knows `+nightly`; it must not install what is not there.
fn nightly(workspace: &Workspace) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.arg("+nightly").current_dir(workspace.root()).env("RUSTUP_AUTO_INSTALL", "0");
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_needs_only_stages_before_it() {
        for (at, stage) in STAGES.iter().enumerate() {
            for need in stage.needs {
                assert!(STAGES[..at].iter().any(|before| before.name == *need), "{} {need}", stage.name);
            }
        }
    }

    #[test]
    fn every_error_is_told() {
        let error = all([Err(anyhow!("a")), Ok(()), Err(anyhow!("b"))]).unwrap_err();
        assert_eq!(error.to_string(), "a; b");
        assert!(all([Ok(())]).is_ok());
    }
}
