//! `layers`: facts flow one way.
//!
//! memtrace/src -> no import against the flow and no circle of files, or each of them. Must not know what a module does.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, Result, bail};

use xtask_base::workspace::Workspace;

mod circles;
mod crates;
mod order;
mod recipes;
mod source;

use crates::{Crate, Edge};

/// Check that imports in memtrace/src follow the order of its rooms, without circles.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The order is in xtask/src/layers/order.rs. A parent module and the files in its folder may import each other. \
Tests (#[cfg(test)], tests.rs, *_tests.rs) may import anything.

Examples:
  cargo xtask layers
  cargo xtask layers --recipes    also check the samples in docs/recipes")]
pub(crate) struct Args {
    /// Also apply and compile the recipes of CONTRIBUTING.md in a copy of the workspace.
    #[arg(long)]
    recipes: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let workspace = Workspace::find()?;
    check(&workspace)?;
    if args.recipes { recipes::check(&workspace) } else { Ok(()) }
}

/// Imports and recipes, as CI has it.
pub(crate) fn check_all(workspace: &Workspace) -> Result<()> {
    check(workspace)?;
    recipes::check(workspace)
}

pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let src = workspace.root().join("memtrace/src");
    let mut files = Vec::new();
    collect(workspace, &src, &src, &mut files)?;
    files.sort();
    let all = Crate::read(&files)?;
    let problems = problems(&all);
    for problem in &problems {
        eprintln!("{problem}");
    }
    if !problems.is_empty() {
        bail!("{} imports are not allowed, see above", problems.len());
    }
    println!("layers: {} files, all imports follow the order, no circles", all.files.len());
    Ok(())
}

/// Every Rust file below a directory: its name for people, its path below `src`, and its text.
fn collect(
    workspace: &Workspace,
    src: &Path,
    dir: &Path,
    files: &mut Vec<(String, String, String)>,
) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("failed to read {}", dir.display()))? {
        let path = entry.with_context(|| format!("failed to read {}", dir.display()))?.path();
        if path.is_dir() {
            collect(workspace, src, &path, files)?;
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let text =
                fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
            let below = path.strip_prefix(src).unwrap_or(&path).display().to_string();
            files.push((workspace.relative(&path).to_string(), below, text));
        }
    }
    Ok(())
}

fn problems(all: &Crate) -> Vec<String> {
    let edges = all.edges();
    let mut problems = Vec::new();
    let unknown: BTreeSet<&str> = all
        .files
        .iter()
        .filter_map(|file| file.layer())
        .filter(|layer| order::floor_of(layer).is_err())
        .collect();
    for layer in &unknown {
        let first = all.files.iter().find(|file| file.layer() == Some(*layer));
        if let (Some(file), Err(problem)) = (first, order::floor_of(layer)) {
            problems.push(format!("{}:1: {problem}", file.name));
        }
    }
    for edge in &edges {
        let (Some(from), Some(to)) = (all.files.get(edge.from), all.files.get(edge.to)) else { continue };
        let (Some(layer), Some(imported)) = (from.layer(), to.layer()) else { continue };
        if unknown.contains(layer) || unknown.contains(imported) {
            continue;
        }
        if let Err(problem) = order::may_import(layer, imported) {
            problems.push(format!("{}:{}: {problem} (it names {})", from.name, edge.line, to.name));
        }
    }
    problems.dedup();
    problems.extend(circles::circles(&all.files, &edges).iter().map(|circle| told(all, circle)));
    problems
}

fn told(all: &Crate, circle: &[Edge]) -> String {
    let name = |at: usize| all.files.get(at).map_or("", |file| file.name.as_str());
    let steps =
        circle.iter().map(|edge| format!("{}:{} names {}", name(edge.from), edge.line, name(edge.to)));
    format!(
        "{}; a circle of files: move what both need to a file of its own, or pass a value",
        steps.collect::<Vec<_>>().join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let owned =
            |(path, text): &(&str, &str)| ((*path).to_owned(), (*path).to_owned(), (*text).to_owned());
        problems(&Crate::read(&files.iter().map(owned).collect::<Vec<_>>()).unwrap())
    }

    #[test]
    fn a_file_that_imports_upstream_passes() {
        let store = "use crate::{mm::Region, units::Bytes};\n";
        let files = [
            ("store/write.rs", store),
            ("mm.rs", "pub struct Region;\n"),
            ("units.rs", "pub struct Bytes;\n"),
        ];
        assert_eq!(found(&files), [""; 0]);
    }

    #[test]
    fn an_import_against_the_flow_is_named_with_its_line_and_advice() {
        let mm = "//! Regions.\n\nuse crate::store::Kill;\n";
        let found = found(&[("mm/region.rs", mm), ("store.rs", "pub struct Kill;\n")]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("mm/region.rs:3: mm must not import store"), "{found:?}");
        assert!(found[0].contains("move the type down"), "{found:?}");
    }

    #[test]
    fn daemon_and_cli_are_not_exempt() {
        let found = found(&[("daemon.rs", "use crate::cli::Args;\n"), ("cli.rs", "pub struct Args;\n")]);
        assert!(found[0].starts_with("daemon.rs:1: daemon must not import cli"), "{found:?}");
    }

    #[test]
    fn an_unknown_module_is_asked_into_the_table_once() {
        let found =
            found(&[("cache.rs", "use crate::mm::A;\n"), ("cache/a.rs", ""), ("mm.rs", "pub struct A;\n")]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("cache.rs:1: the module cache is not in the order"), "{found:?}");
    }

    #[test]
    fn a_circle_of_files_is_told_with_every_step() {
        let found = found(&[
            ("mm/a.rs", "use super::b::B;\npub struct A;\n"),
            ("mm/b.rs", "pub struct B;\nuse super::a::A;\n"),
            ("mm.rs", "mod a;\nmod b;\n"),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("mm/a.rs:1 names mm/b.rs, mm/b.rs:2 names mm/a.rs; a circle"),
            "{found:?}"
        );
    }
}
