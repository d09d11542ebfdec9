//! `vm`: memtrace on every kernel that it claims to run on.
//!
//! Kernels -> boots under QEMU, as many at a time as there are CPUs, each compared with the expected table of its kernel.
//! Must not write a table or the document unless asked to.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::Parser as _;
use xtask_base::{build, outcome, workspace::Workspace};

mod allocators;
mod collected;
mod compare;
mod cpio;
mod doctor;
mod document;
mod events;
mod expected;
mod guest;
mod guests;
mod image;
mod judge;
mod kernel;
mod kernel_log;
mod machine;
mod measure;
mod plan;
mod record;
mod requirements;
mod results;
mod scenario;
mod summary;
mod together;
mod tools;
mod transcript;
mod verifier;

use kernel::{KERNELS, Kernel};
use plan::Boot;
use results::{Results, Table};
use scenario::SCENARIOS;
use summary::Outcome;

/// Test memtrace on the supported kernels, in QEMU. The results must equal the tables in vm/expected.
#[derive(Debug, clap::Parser)]
#[command(name = "cargo xtask vm", bin_name = "cargo xtask vm", version, after_help = HELP)]
struct Args {
    /// Kernel to boot: 5.10, 6.1, 6.12, 6.18 or 7.3 [default: all]
    #[arg(value_name = "KERNEL", value_parser = kernel::parse)]
    kernels: Vec<&'static Kernel>,
    /// Rewrite vm/expected and docs/kernel-support.md from the results
    #[arg(long)]
    update: bool,
    /// A memtrace to test instead of building one
    #[arg(long, value_name = "FILE")]
    bin: Option<PathBuf>,
    /// Download what the guests need, and exit
    #[arg(long, hide = true)]
    fetch: bool,
}

const HELP: &str = "Needs apt, dpkg, mke2fs and a C compiler. Needs neither KVM nor root.
The kernels are Debian's cloud images. They are downloaded once to MEMTRACE_VM_CACHE (default ~/.cache/memtrace/vm) \
and unpacked there, not installed; so are QEMU and busybox if this machine has none. The Debian mirror is that of this \
machine, or MEMTRACE_VM_MIRROR. target/vm/KERNEL has the results of each guest (results.txt) and its console.log.

Examples:
  cargo xtask vm                 all kernels
  cargo xtask vm 6.12 7.3
  cargo xtask vm --update        accept the results; review the diff before you commit it";

/// The document that the run keeps true.
pub(crate) const DOCUMENT: &str = "docs/kernel-support.md";

fn main() -> ExitCode {
    outcome::exit_code(run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    if args.fetch {
        return guests::fetch(&KERNELS.iter().collect::<Vec<_>>());
    }
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
    let start = Instant::now();
    let guests = guests::boot(workspace, bin, kernels)?;
    let mut outcomes = Vec::new();
    for kernel in kernels {
        let (mut results, mut took) = (Results::default(), Duration::ZERO);
        for guest in guests.iter().filter(|guest| guest.kernel == *kernel) {
            results.extend(measure::measure(guest.boot, kernel, &guest.run));
            took += guest.run.took;
        }
        outcomes.push(outcome(workspace.root(), kernel, results, took, update)?);
    }
    let stale = document(workspace.root(), update)?;
    println!("\n{}\n{}", summary::table(&outcomes), summary::surprises(&outcomes));
    let surprises: usize = outcomes.iter().map(|outcome| outcome.surprises.len()).sum();
    if surprises > 0 {
        bail!(
            "{surprises} results differ from the expected ones, see above; target/vm has the output of the guests"
        );
    }
    if stale {
        bail!("{DOCUMENT} differs from the tables in vm/expected; run `cargo xtask vm --update`");
    }
    say(&format!(
        "{} kernels, all results as expected, {:.0} s",
        kernels.len(),
        start.elapsed().as_secs_f64()
    ));
    Ok(())
}

fn built(workspace: &Workspace) -> Result<PathBuf> {
    build::build(workspace)?;
    Ok(workspace.memtrace())
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
