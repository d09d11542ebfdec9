//! The kernels' images.
//!
//! Kernel -> a bootable file in the cache; downloaded with an apt configuration of its own and only unpacked.
//! Must never install a package or change this machine's package lists.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::{
    kernel::{Kernel, version_order},
    say,
};
use xtask_base::{packages::apt::Apt, process};

/// The kernel's image, downloaded when it is not there yet.
pub(crate) fn ensure(cache: &Path, kernel: &Kernel) -> Result<PathBuf> {
    let image = at(cache, kernel.package);
    if image.is_file() {
        return Ok(image);
    }
    say(&format!("{}: reading the package list of {}", kernel.series, kernel.suite));
    let apt = Apt::new(cache, kernel.suite)?;
    let package = if apt.has(kernel.package) {
        kernel.package.to_owned()
    } else {
        let newest = newest(&apt, kernel)?;
        say(&format!("WARNING: {} is gone from the mirror; booting {newest} instead", kernel.package));
        newest
    };
    let image = at(cache, &package);
    if !image.is_file() {
        say(&format!("{}: downloading {package}", kernel.series));
        unpack(&apt, &package, &image)?;
    }
    Ok(image)
}

fn at(cache: &Path, package: &str) -> PathBuf {
    cache.join(package).join("vmlinuz")
}

/// Newer than the pinned one, where that is gone.
fn newest(apt: &Apt, kernel: &Kernel) -> Result<String> {
    let names = apt.names()?;
    let of_series = names.lines().filter(|name| kernel.is_of_series(name));
    of_series.max_by_key(|name| version_order(name)).map(str::to_owned).with_context(|| {
        format!("failed to find a kernel {} in {}: the mirror has none", kernel.series, kernel.suite)
    })
}

/// Downloads and unpacks the package, and keeps nothing but the image.
fn unpack(apt: &Apt, package: &str, image: &Path) -> Result<()> {
    let dir = apt.scratch()?;
    apt.download(package, dir.path())?;
    let archive = the_only(dir.path(), |name| name.ends_with(".deb"))?;
    let tree = dir.path().join("tree");
    process::capture(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&tree))?;
    let unpacked = find_image(&tree).with_context(|| format!("failed to find a kernel in {package}"))?;
    let home = image.parent().context("failed to find the image's directory")?;
    fs::create_dir_all(home).with_context(|| format!("failed to create {}", home.display()))?;
    let part = image.with_extension("part");
    fs::copy(&unpacked, &part).with_context(|| format!("failed to write {}", part.display()))?;
    fs::rename(&part, image).with_context(|| format!("failed to write {}", image.display()))
}

/// boot/vmlinuz-*, or from 7.x on usr/lib/modules/*/vmlinuz.
fn find_image(tree: &Path) -> Result<PathBuf> {
    if let Ok(image) = the_only(&tree.join("boot"), |name| name.starts_with("vmlinuz-")) {
        return Ok(image);
    }
    Ok(the_only(&tree.join("usr/lib/modules"), |_| true)?.join("vmlinuz"))
}

fn the_only(dir: &Path, is_it: impl Fn(&str) -> bool) -> Result<PathBuf> {
    let entries = fs::read_dir(dir).with_context(|| format!("failed to read {}", dir.display()))?;
    let mut found = entries.flatten().filter(|entry| is_it(&entry.file_name().to_string_lossy()));
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only.path()),
        (None, _) => bail!("failed to find a matching file in {}", dir.display()),
        (Some(_), Some(_)) => bail!("found several matching files in {}", dir.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_found_where_either_layout_has_it() {
        for place in ["boot/vmlinuz-6.1.0-50-cloud-amd64", "usr/lib/modules/7.3.4+deb13-cloud-amd64/vmlinuz"]
        {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join(place);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "").unwrap();
            assert_eq!(find_image(dir.path()).unwrap(), file);
        }
        assert!(find_image(tempfile::tempdir().unwrap().path()).is_err());
    }
}
