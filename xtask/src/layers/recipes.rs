//! The recipes of CONTRIBUTING.md, tried: a sample of each addition touches no more files than it says, and compiles.
//!
//! docs/recipes/*.patch -> a copy of the workspace with all of them in it, checked by cargo. Must not change the workspace.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use xtask_base::{process, workspace::Workspace};

/// What may be added, and the files that this touches at most.
const RECIPES: [(&str, usize); 7] = [
    ("hook", 3),
    ("allocator", 2),
    ("cause", 2),
    ("verdict", 2),
    ("column", 1),
    ("metric", 1),
    ("subcommand", 2),
];

/// Tries them all at once: they are about different places, so that one compilation does for all.
pub(super) fn check(workspace: &Workspace) -> Result<()> {
    let patches = patches(workspace)?;
    let copy = workspace.target().join("recipes");
    mirror(workspace, &copy)?;
    for (name, patch) in &patches {
        // Outside of the repository: what is below `target` it would pass over.
        let mut git = std::process::Command::new("git");
        git.args(["apply", "--whitespace=nowarn"]).arg(patch).current_dir(&copy);
        git.env("GIT_CEILING_DIRECTORIES", workspace.target());
        process::run(&mut git)
            .with_context(|| format!("failed to apply the recipe {name}: update its patch"))?;
    }
    let mut cargo = workspace.cargo();
    cargo.current_dir(&copy).args(["check", "--package", "memtrace", "--locked"]);
    // Cargo takes the packages of the copy for those of the workspace, and would not compile the workspace's again. With
    // another profile they are others.
    cargo.args(["--config", "profile.dev.package.memtrace-common.codegen-units=255"]);
    process::run(cargo.env("CARGO_TARGET_DIR", workspace.target()))?;
    println!("recipes: {} apply and compile", patches.len());
    Ok(())
}

/// The patches, once each is known to touch no more files than its recipe says.
fn patches(workspace: &Workspace) -> Result<Vec<(&'static str, PathBuf)>> {
    let mut patches = Vec::new();
    for (name, most) in RECIPES {
        let path = workspace.root().join("docs/recipes").join(name).with_extension("patch");
        let text = fs::read_to_string(&path)
            .with_context(|| format!("failed to read {}", workspace.relative(&path)))?;
        let files = touched(&text);
        if files == 0 || files > most {
            bail!("{} touches {files} files; allowed are 1 to {most}", workspace.relative(&path));
        }
        println!("recipe {name}: {files} of at most {most} files");
        patches.push((name, path));
    }
    Ok(patches)
}

/// How many files a patch changes.
fn touched(patch: &str) -> usize {
    patch.lines().filter(|line| line.starts_with("diff --git ")).count()
}

/// Makes a copy of all that git knows or would know. A file that is there and equal keeps its time, for cargo's sake.
fn mirror(workspace: &Workspace, to: &Path) -> Result<()> {
    let mut git = std::process::Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = process::capture(git.current_dir(workspace.root()))?;
    let files: Vec<&str> = listed.split('\0').filter(|file| !file.is_empty()).collect();
    remove_others(to, to, &files)?;
    for file in files {
        let (from, to) = (workspace.root().join(file), to.join(file));
        // Deleted, and not yet committed.
        let Ok(bytes) = fs::read(&from) else { continue };
        if fs::read(&to).is_ok_and(|old| old == bytes) {
            continue;
        }
        let dir = to.parent().context("failed to find a file's directory")?;
        fs::create_dir_all(dir).with_context(|| format!("failed to create {}", dir.display()))?;
        fs::write(&to, bytes).with_context(|| format!("failed to write {}", to.display()))?;
    }
    // memtrace's build script looks for its toolchain here.
    let (tools, link) = (workspace.tools(), to.join("target/tools"));
    fs::create_dir_all(to.join("target")).context("failed to create target in the copy")?;
    if fs::read_link(&link).is_ok_and(|old| old == tools) {
        return Ok(());
    }
    symlink(&tools, &link).with_context(|| format!("failed to link {}", link.display()))
}

/// Removes what an earlier run left and the workspace has no more.
fn remove_others(root: &Path, dir: &Path, files: &[&str]) -> Result<()> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    for entry in entries {
        let path = entry.with_context(|| format!("failed to read {}", dir.display()))?.path();
        let below = path.strip_prefix(root).unwrap_or(&path);
        if below == Path::new("target") {
            continue;
        }
        if path.is_dir() {
            remove_others(root, &path, files)?;
        } else if !files.iter().any(|file| Path::new(file) == below) {
            fs::remove_file(&path).with_context(|| format!("failed to remove {}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_touches_the_files_that_it_names() {
        assert_eq!(touched("diff --git a/x b/x\n+diff\n--- a/x\ndiff --git a/y b/y\n"), 2);
        assert_eq!(touched(""), 0);
    }
}
