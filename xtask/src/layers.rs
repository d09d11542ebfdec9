//! `layers`: facts flow one way.
//!
//! memtrace/src -> no import against the flow, or each of them. Must not know what a module does.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};

use crate::workspace::Workspace;

mod order;
mod source;

/// Check that no module of memtrace/src imports one that is downstream of it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The order is a table in xtask/src/layers/order.rs.\n\nExamples:\n  cargo xtask layers"
)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args) -> Result<()> {
    check(&Workspace::find()?)
}

pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let src = workspace.root().join("memtrace/src");
    let mut problems = Vec::new();
    let mut files = 0;
    let mut open = vec![src.clone()];
    while let Some(dir) = open.pop() {
        let entries = fs::read_dir(&dir).with_context(|| format!("failed to read {}", dir.display()))?;
        for entry in entries {
            let path = entry.with_context(|| format!("failed to read {}", dir.display()))?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let text = fs::read_to_string(&path);
                let text = text.with_context(|| format!("failed to read {}", path.display()))?;
                let module = module_of(path.strip_prefix(&src).unwrap_or(&path));
                problems.extend(problems_in(&workspace.relative(&path).to_string(), &module, &text));
                files += 1;
            }
        }
    }
    problems.sort();
    for problem in &problems {
        eprintln!("{problem}");
    }
    if !problems.is_empty() {
        bail!("failed to keep facts flowing one way: {} problems", problems.len());
    }
    println!("layers: {files} files, facts flow one way");
    Ok(())
}

/// `mm/region.rs` -> [mm, region]; main.rs and lib.rs are the root.
fn module_of(file: &Path) -> Vec<String> {
    let path = file.with_extension("");
    let mut module: Vec<String> = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "main" | "lib")) {
        module.pop();
    }
    module
}

fn problems_in(name: &str, module: &[String], text: &str) -> Vec<String> {
    let Some(from) = module.first() else { return Vec::new() };
    let mut problems = Vec::new();
    if let Err(problem) = order::layer_of(from) {
        problems.push(format!("{name}:1: {problem}"));
        return problems;
    }
    for import in source::imports(module, text) {
        if let Err(problem) = order::may_import(from, &import.module) {
            problems.push(format!("{name}:{}: {problem}", import.line));
        }
    }
    problems.dedup();
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(file: &str, text: &str) -> Vec<String> {
        problems_in(file, &module_of(Path::new(file)), text)
    }

    #[test]
    fn a_file_that_imports_upstream_passes() {
        let text = "use crate::{mm::Region, units::Bytes};\nfn f(r: &crate::probe::Row) {}\n";
        assert_eq!(problems("store/write.rs", text), [""; 0]);
    }

    #[test]
    fn an_import_against_the_flow_is_named_with_its_line() {
        let found = problems("mm/region.rs", "//! Regions.\n\nuse crate::store::Kill;\n");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("mm/region.rs:3: mm must not import store"), "{found:?}");
    }

    #[test]
    fn nested_braces_are_entered() {
        let text = "use crate::{\n    probe::{Plan, plan},\n    report::{self, text::{Line}},\n};\n";
        let found = problems("ingest/decode.rs", text);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("ingest/decode.rs:3: ingest must not import report"), "{found:?}");
    }

    #[test]
    fn comments_and_strings_import_nothing() {
        let text = "//! Unlike crate::store, this.\n/* use crate::api; /* nested */ */\nconst S: &str = \"crate::top\";\n\
                    const R: &str = r#\"crate::\"cli\"#;\nfn f<'a>(c: char) -> bool { c == '\"' } // crate::api\n";
        assert_eq!(problems("mm.rs", text), [""; 0]);
    }

    #[test]
    fn a_way_round_through_super_is_seen() {
        let found = problems("mm/region.rs", "use super::super::store::Kill;\n");
        assert!(found[0].contains("mm must not import store"), "{found:?}");
        assert_eq!(
            problems("mm.rs", "use super::units::Bytes;\nmod tests { use super::*; use super::Region; }\n"),
            [""; 0]
        );
    }

    #[test]
    fn an_unknown_module_is_asked_into_the_table() {
        assert!(problems("cache.rs", "")[0].contains("add it to xtask/src/layers/order.rs"));
        assert!(problems("mm.rs", "use crate::cache::Cache;")[0].contains("add it to"));
    }

    #[test]
    fn the_root_of_the_crate_may_import_everything() {
        assert_eq!(problems("main.rs", "use crate::cache::Cache;"), [""; 0]);
        assert_eq!(problems("daemon.rs", "use crate::{cli, store, mm};"), [""; 0]);
    }
}
