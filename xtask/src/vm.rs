//! `vm`: memtrace on every kernel that it claims to run on.
//!
//! Kernels -> boots under QEMU, one after another, each compared with the expected table of its kernel.
//! Must not write a table or the document unless asked to.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{build, setup, workspace::Workspace};

mod allocators;
mod apt;
mod collected;
mod compare;
mod cpio;
mod doctor;
mod document;
mod events;
mod expected;
mod guest;
mod image;
mod judge;
mod kernel;
mod kernel_log;
mod machine;
mod mirror;
mod plan;
mod record;
mod requirements;
mod results;
mod scenario;
mod summary;
mod tools;
mod transcript;
mod tree;
mod verifier;

use guest::Guest;
use kernel::{KERNELS, Kernel};
use machine::{Machine, Run};
use plan::Boot;
use results::{Results, Table};
use scenario::SCENARIOS;
use summary::Outcome;
use tools::Qemu;

/// Boot the supported kernels under QEMU, and compare what memtrace gets there with what is expected.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Series to boot: 5.10, 6.1, 6.12, 6.18, 7.3; all when none is given
    #[arg(value_name = "KERNEL", value_parser = kernel::parse)]
    kernels: Vec<&'static Kernel>,
    /// Rewrite the expected tables and docs/kernel-support.md from what is measured
    #[arg(long)]
    update: bool,
    /// A memtrace to test instead of building one
    #[arg(long, value_name = "FILE")]
    bin: Option<PathBuf>,
}

const HELP: &str = "Needs apt, dpkg and a C compiler. Does not need KVM, nor root.
Kernels are Debian's cloud images, downloaded once to MEMTRACE_VM_CACHE (~/.cache/memtrace/vm) and only unpacked; so
are QEMU and busybox where this machine has none. They come from this machine's Debian mirror, or from MEMTRACE_VM_MIRROR.
What each guest said is kept in target/vm/KERNEL: results.txt, and the kernel's console.log.

Examples:
  cargo xtask vm                 all kernels
  cargo xtask vm 6.12 7.3
  cargo xtask vm --update        accept what is measured; then read the difference before it is committed";

/// The document that the run keeps true.
pub(crate) const DOCUMENT: &str = "docs/kernel-support.md";

pub(crate) fn run(args: &Args) -> Result<()> {
    let workspace = Workspace::find()?;
    let bin = match &args.bin {
        Some(bin) => bin.clone(),
        None => built(&workspace)?,
    };
    let all: Vec<&'static Kernel> = KERNELS.iter().collect();
    let kernels = if args.kernels.is_empty() { &all } else { &args.kernels };
    boot_all(&workspace, &bin, kernels, args.update)
}

fn boot_all(workspace: &Workspace, bin: &Path, kernels: &[&'static Kernel], update: bool) -> Result<()> {
    requirements::ensure()?;
    let cache = image::cache()?;
    let guest = Guest::prepare(workspace, &cache, bin, &build::root_tests(workspace)?)?;
    let qemu = Qemu::find(&cache)?;
    let disk = tree::disk(&cache, &tree::SMALL)?;
    let start = Instant::now();
    let mut outcomes = Vec::new();
    for kernel in kernels {
        let (results, took) =
            boot(workspace, &guest, (&qemu, &disk), kernel, &image::ensure(&cache, kernel)?)?;
        outcomes.push(outcome(workspace.root(), kernel, results, took, update)?);
    }
    let stale = document(workspace.root(), update)?;
    println!("\n{}\n{}", summary::table(&outcomes), summary::surprises(&outcomes));
    let surprises: usize = outcomes.iter().map(|outcome| outcome.surprises.len()).sum();
    if surprises > 0 {
        bail!("failed to find what is expected: {surprises} surprises (target/vm has what the guests said)");
    }
    if stale {
        bail!(
            "failed to find {DOCUMENT} true: it is not what the tables give; run `cargo xtask vm --update`"
        );
    }
    say(&format!("{} kernels, no surprise, {:.0} s", kernels.len(), start.elapsed().as_secs_f64()));
    Ok(())
}

/// A small Debian without a kernel, for guests and for what is measured.
pub(crate) fn small_root() -> Result<PathBuf> {
    tree::ensure(&image::cache()?, &tree::SMALL)
}

/// Another, with the tools that the benchmark runs.
pub(crate) fn tools_root() -> Result<PathBuf> {
    tree::ensure(&image::cache()?, &tree::TOOLS)
}

/// The archive of one package of a Debian suite, in `dir`.
pub(crate) fn download(suite: &'static str, package: &str, dir: &Path) -> Result<()> {
    apt::Apt::new(&image::cache()?, suite)?.download(package, dir)
}

fn built(workspace: &Workspace) -> Result<PathBuf> {
    setup::ensure(workspace)?;
    build::build(workspace)?;
    Ok(workspace.memtrace())
}

/// Boots a kernel in every way that it is booted.
fn boot(
    workspace: &Workspace,
    guest: &Guest,
    (qemu, disk): (&Qemu, &Path),
    kernel: &Kernel,
    image: &Path,
) -> Result<(Results, Duration)> {
    let mut results = Results::default();
    let mut took = Duration::ZERO;
    for boot in Boot::all(kernel) {
        let name = boot.name(kernel);
        let dir = workspace.target().join("vm").join(&name);
        let machine = Machine {
            dir,
            qemu,
            disk,
            image,
            archive: guest.archive(&boot.script())?,
            append: boot.append(),
        };
        let run = machine.run().with_context(|| format!("failed to boot {name}"))?;
        say(&format!("{name}: {:.1} s", run.took.as_secs_f64()));
        took += run.took;
        results.extend(measure(*boot, kernel, &run));
    }
    Ok((results, took))
}

/// Everything that one boot tells.
fn measure(boot: Boot, kernel: &Kernel, run: &Run) -> Results {
    let Run { said, failure, took: _ } = run;
    let mut results = Results::default();
    if let Some(failure) = failure {
        results.missing(&format!("boot.{}", boot.name(kernel)), failure);
    }
    let release = said.get("kernel/release").unwrap_or_default().trim();
    results.holds("boot.release", release.starts_with(&format!("{}.", kernel.series)), || {
        (format!("{}.x", kernel.series), release.to_owned())
    });
    // `none [integrity] confidentiality`
    let lockdown = said.get("kernel/lockdown").unwrap_or_default().trim();
    let wanted = match boot {
        Boot::Usual => "[none]",
        Boot::Lockdown => "[integrity]",
    };
    results.holds("boot.lockdown", lockdown.contains(wanted), || (wanted.to_owned(), lockdown.to_owned()));
    for mode in boot.modes() {
        results.extend(doctor::measure(mode.name, said));
    }
    if boot.runs_tests() {
        results.extend(events::measure(said));
        results.extend(allocators::measure(said));
    }
    for tracer in boot.tracers() {
        for scenario in SCENARIOS.iter().filter(|scenario| scenario.tracer == *tracer) {
            results.extend(judge::judge(scenario, said));
        }
        let name = tracer.name();
        let section =
            |what: &str| said.get(&format!("{name}/{what}")).unwrap_or("none: it did not end").trim();
        results.equal(&format!("{name}.exit"), &"0", &section("exit"));
        let complaints = section("log").lines().filter(|line| is_complaint(line)).collect::<Vec<_>>();
        results.equal(&format!("{name}.log"), &Vec::new(), &complaints);
    }
    results
}

/// A hook that did not attach is in the table already.
fn is_complaint(line: &str) -> bool {
    line.contains(" ERROR ") || line.contains(" WARN ") && !line.contains(" WARN not attached; ")
}

/// Compares with the table, or makes the table.
fn outcome(
    root: &Path,
    kernel: &'static Kernel,
    results: Results,
    took: Duration,
    update: bool,
) -> Result<Outcome> {
    let Results { table, wrong, remarks } = results;
    let expected = expected::read(root, kernel.series)?;
    let mut surprises = wrong;
    if update {
        expected::write(root, kernel.series, &expected::accepted(&expected, table, &surprises))?;
    } else {
        let differences = expected::differences(&expected, &table, &surprises);
        surprises.extend(differences);
    }
    let boots = Boot::all(kernel);
    let mut units = vec!["boot"];
    units.extend(boots.iter().flat_map(|boot| boot.modes()).map(|mode| mode.name));
    units.extend([verifier::UNIT, events::UNIT, allocators::UNIT]);
    units.extend(boots.iter().flat_map(|boot| boot.tracers()).map(|tracer| tracer.name()));
    units.extend(SCENARIOS.iter().map(|scenario| scenario.name));
    Ok(Outcome { series: kernel.series, units, surprises, remarks, took })
}

/// True when the document is not what the tables give; writes it when asked to.
fn document(root: &Path, update: bool) -> Result<bool> {
    let tables: Vec<Table> =
        KERNELS.iter().map(|kernel| expected::read(root, kernel.series)).collect::<Result<_>>()?;
    let columns: Vec<document::Column<'_>> = KERNELS.iter().zip(&tables).collect();
    let (file, text) = (root.join(DOCUMENT), document::render(&columns));
    if update {
        fs::write(&file, &text).with_context(|| format!("failed to write {}", file.display()))?;
    }
    Ok(fs::read_to_string(&file).unwrap_or_default() != text)
}

fn say(what: &str) {
    println!("vm: {what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot_surprises(lockdown: &str, failure: Option<&str>) -> Vec<String> {
        let said =
            format!("=== kernel/release\n6.12.107+deb13-cloud-amd64\n=== kernel/lockdown\n{lockdown}\n");
        let run = Run {
            said: transcript::Transcript::parse(&said),
            failure: failure.map(str::to_owned),
            took: Duration::ZERO,
        };
        let results = measure(Boot::Lockdown, kernel::parse("6.12").unwrap(), &run);
        let of_boot = results.wrong.into_iter().filter(|surprise| surprise.unit() == "boot");
        of_boot.map(|surprise| surprise.check).collect()
    }

    #[test]
    fn a_boot_that_should_be_locked_down_is_checked_to_be() {
        assert_eq!(boot_surprises("none [integrity] confidentiality", None), [""; 0]);
        assert_eq!(boot_surprises("[none] integrity confidentiality", None), ["boot.lockdown"]);
    }

    #[test]
    fn a_guest_that_died_is_a_surprise_of_the_boot() {
        let wrong = boot_surprises("none [integrity] confidentiality", Some("the guest ended"));
        assert_eq!(wrong, ["boot.6.12-lockdown"]);
    }

    #[test]
    fn a_hook_that_did_not_attach_is_no_complaint_of_the_daemon() {
        assert!(!is_complaint("2026-11-22T20:47:49Z  WARN not attached; see `memtrace doctor` fact=fork"));
        assert!(is_complaint("2026-11-22T20:47:49Z  WARN events were lost"));
        assert!(!is_complaint("2026-11-22T20:47:49Z  INFO watching socket=/run/s"));
    }
}
