//! The guests of a run.
//!
//! Kernels -> a boot of each in every way that it is booted, as many at a time as there are CPUs: each takes one. Must
//! not judge.

use std::{
    num::NonZero,
    path::Path,
    sync::{Mutex, PoisonError},
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result};

use super::{
    guest::Guest,
    image,
    kernel::Kernel,
    machine::{Machine, Run},
    plan::Boot,
    requirements, say, together,
    tools::{self, Qemu},
};
use xtask_base::{
    build,
    packages::{self, tree},
    workspace::Workspace,
};

/// A boot that is over.
#[derive(Debug)]
pub(crate) struct Booted {
    pub(crate) kernel: &'static Kernel,
    pub(crate) boot: Boot,
    pub(crate) run: Run,
}

/// Downloads what is not in the cache yet.
pub(crate) fn fetch(kernels: &[&'static Kernel]) -> Result<()> {
    requirements::ensure()?;
    let cache = packages::cache()?;
    Qemu::find(&cache)?;
    tools::busybox(&cache)?;
    tree::disk(&cache, &tree::SMALL)?;
    kernels.iter().try_for_each(|kernel| image::ensure(&cache, kernel).map(|_| ()))
}

/// Boots all of them.
pub(crate) fn boot(workspace: &Workspace, bin: &Path, kernels: &[&'static Kernel]) -> Result<Vec<Booted>> {
    requirements::ensure()?;
    let cache = packages::cache()?;
    let guest = Guest::prepare(workspace, &cache, bin, &build::root_tests(workspace)?)?;
    let qemu = Qemu::find(&cache)?;
    let disk = tree::disk(&cache, &tree::SMALL)?;
    let boots: Vec<(&'static Kernel, Boot)> =
        kernels.iter().flat_map(|kernel| Boot::all(kernel).iter().map(|boot| (*kernel, *boot))).collect();
    // The package lists of a suite are one reader's at a time.
    let download = Mutex::new(());
    together::each(&boots, thread::available_parallelism().map_or(1, NonZero::get), |(kernel, boot)| {
        let name = boot.name(kernel);
        let image = {
            let _alone = download.lock().unwrap_or_else(PoisonError::into_inner);
            image::ensure(&cache, kernel)?
        };
        let machine = Machine {
            dir: workspace.target().join("vm").join(&name),
            qemu: &qemu,
            disk: &disk,
            image: &image,
            archive: guest.archive(&boot.script())?,
            append: boot.append(),
        };
        let start = Instant::now();
        let run =
            machine.run(|unit| say(&format!("{name}: {:4.0} s  {unit}", start.elapsed().as_secs_f64())));
        let run = run.with_context(|| format!("failed to boot {name}"))?;
        say(&format!("{name}: {:.1} s", run.took.as_secs_f64()));
        Ok(Booted { kernel, boot: *boot, run })
    })
}
