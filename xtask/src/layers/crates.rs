//! All files of memtrace/src, and which names which.
//!
//! Paths and texts of files -> an edge for each reference, from the file that names to the file that defines. Re-exports
//! are followed. Must not judge an edge.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result};

use super::source::{self, Module, Source};

/// A reference from one file to another.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Edge {
    pub(crate) from: usize,
    pub(crate) line: usize,
    pub(crate) to: usize,
}

/// A file that is compiled outside of tests.
#[derive(Debug)]
pub(crate) struct File {
    /// As a reader of the check knows it.
    pub(crate) name: String,
    /// Its module: `mm::region`; the root of the library has none, the program is `main`.
    pub(crate) module: Vec<String>,
}

impl File {
    /// The top-level module that it belongs to; none for the library's root, which only says what there is.
    pub(crate) fn layer(&self) -> Option<&str> {
        self.module.first().map(String::as_str)
    }
}

/// The files and their references.
#[derive(Debug, Default)]
pub(crate) struct Crate {
    pub(crate) files: Vec<File>,
    modules: BTreeMap<Vec<String>, (usize, Module)>,
}

/// Re-exports of re-exports, at most: a circle of them is not Rust.
const MOST_HOPS: usize = 8;

impl Crate {
    /// Reads files, each with its name, its path below `src` and its text.
    pub(crate) fn read(files: &[(String, String, String)]) -> Result<Self> {
        let mut read: Vec<(String, Vec<String>, Source)> = Vec::new();
        for (name, path, text) in files {
            let module = module_of(Path::new(path));
            let source = source::read(&module, text).with_context(|| name.clone())?;
            read.push((name.clone(), module, source));
        }
        let for_tests: Vec<Vec<String>> =
            read.iter().flat_map(|(_, _, source)| source.test_modules.clone()).collect();
        let is_test = |module: &[String]| {
            module.iter().any(|part| part == "tests" || part.ends_with("_tests"))
                || for_tests.iter().any(|tests| module.starts_with(tests))
        };
        let mut all = Self::default();
        for (name, module, source) in read.into_iter().filter(|(_, module, _)| !is_test(module)) {
            for inner in source.modules {
                all.modules.insert(inner.path.clone(), (all.files.len(), inner));
            }
            all.files.push(File { name, module });
        }
        Ok(all)
    }

    /// Every reference between two files, once.
    pub(crate) fn edges(&self) -> Vec<Edge> {
        let mut edges = Vec::new();
        for (from, module) in self.modules.values() {
            for (path, line) in &module.uses {
                let Some(to) = self.absolute(module, path).and_then(|path| self.file_of(&path, MOST_HOPS))
                else {
                    continue;
                };
                if to != *from {
                    edges.push(Edge { from: *from, line: *line, to });
                }
            }
        }
        edges.sort();
        edges.dedup_by_key(|edge| (edge.from, edge.to, edge.line));
        edges
    }

    /// A path as written in a module -> from the root of the crate; none for one that leads out of the crate.
    fn absolute(&self, module: &Module, path: &[String]) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        let own = module.path.as_slice();
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            // The program is a crate of its own, and names the library.
            "memtrace" if own.first().is_some_and(|name| name == "main") => Some(rest.to_vec()),
            "self" => Some([own, rest].concat()),
            "super" => {
                let supers = path.iter().take_while(|part| *part == "super").count();
                let above = own.get(..own.len().checked_sub(supers)?)?;
                Some([above, path.get(supers..)?].concat())
            }
            "Self" => None,
            name => {
                if let Some(alias) = module.aliases.get(name).filter(|alias| *alias != path) {
                    let is_itself = alias.first().is_some_and(|part| part == name);
                    let alias =
                        if is_itself { self.child(own, alias)? } else { self.absolute(module, alias)? };
                    return Some([&alias[..], rest].concat());
                }
                self.child(own, path).or_else(|| {
                    let is_item = module.items.iter().any(|item| item == name);
                    is_item.then(|| [own, path].concat())
                })
            }
        }
    }

    /// A path that begins with a module inside of `own`.
    fn child(&self, own: &[String], path: &[String]) -> Option<Vec<String>> {
        let inside = [own, path.get(..1)?].concat();
        self.modules.contains_key(&inside).then(|| [own, path].concat())
    }

    /// The file that defines what an absolute path names.
    fn file_of(&self, path: &[String], hops: usize) -> Option<usize> {
        let known = (0..=path.len())
            .rev()
            .find(|length| path.get(..*length).is_some_and(|part| self.modules.contains_key(part)))?;
        let (file, module) = self.modules.get(path.get(..known)?)?;
        let Some(name) = path.get(known).filter(|_| hops > 0) else { return Some(*file) };
        if module.items.contains(name) {
            return Some(*file);
        }
        let rest = path.get(known + 1..).unwrap_or_default();
        if let Some(alias) = module.aliases.get(name) {
            let there = self.absolute(module, alias).map(|alias| [&alias[..], rest].concat());
            return there.and_then(|path| self.file_of(&path, hops - 1)).or(Some(*file));
        }
        let through = module.globs.iter().find_map(|glob| {
            let glob = self.absolute(module, glob)?;
            let (_, there) = self.modules.get(&glob)?;
            let has = there.items.contains(name) || there.aliases.contains_key(name);
            has.then(|| [&glob[..], path.get(known..).unwrap_or_default()].concat())
        });
        through.and_then(|path| self.file_of(&path, hops - 1)).or(Some(*file))
    }
}

/// `mm/region.rs` -> [mm, region]; lib.rs is the root, main.rs a module beside all others.
fn module_of(file: &Path) -> Vec<String> {
    let path = file.with_extension("");
    let mut module: Vec<String> = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib")) {
        module.pop();
    }
    module
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(files: &[(&str, &str)]) -> Vec<String> {
        let owned =
            |(path, text): &(&str, &str)| ((*path).to_owned(), (*path).to_owned(), (*text).to_owned());
        let all = Crate::read(&files.iter().map(owned).collect::<Vec<_>>()).unwrap();
        let name = |at: usize| all.files[at].name.clone();
        all.edges()
            .iter()
            .map(|edge| format!("{}:{} {}", name(edge.from), edge.line, name(edge.to)))
            .collect()
    }

    #[test]
    fn paths_through_crate_self_and_super_lead_to_files() {
        let files = [
            ("mm.rs", "mod region;\nmod space;\nfn f() { region::g(); }\n"),
            ("mm/region.rs", "use super::space::Space;\nfn g(x: crate::units::Bytes) {}\n"),
            ("mm/space.rs", "pub struct Space;\n"),
            ("units.rs", "pub struct Bytes;\n"),
        ];
        let expected = ["mm.rs:3 mm/region.rs", "mm/region.rs:1 mm/space.rs", "mm/region.rs:2 units.rs"];
        assert_eq!(edges(&files), expected);
    }

    #[test]
    fn a_re_export_leads_to_the_file_that_defines() {
        let files = [
            ("mm.rs", "mod region;\nmod all;\npub use region::Region;\npub use self::all::*;\n"),
            ("mm/region.rs", "pub struct Region;\n"),
            ("mm/all.rs", "pub struct All;\n"),
            ("top.rs", "use crate::mm::Region;\nuse crate::mm::{self, All};\nfn f(x: mm::Region) {}\n"),
        ];
        let found = edges(&files);
        for expected in
            ["top.rs:1 mm/region.rs", "top.rs:2 mm/all.rs", "top.rs:3 mm/region.rs", "top.rs:2 mm.rs"]
        {
            assert!(found.iter().any(|edge| edge == expected), "{expected} in {found:?}");
        }
    }

    #[test]
    fn a_way_round_through_super_in_an_inner_module_is_seen() {
        let files =
            [("mm.rs", "mod inner { fn f() { super::super::store::g(); } }\n"), ("store.rs", "fn g() {}\n")];
        assert_eq!(edges(&files), ["mm.rs:1 store.rs"]);
    }

    #[test]
    fn test_files_are_left_out() {
        let files = [
            ("mm.rs", "#[cfg(test)]\nmod fixture;\n#[cfg(test)]\n#[path = \"mm_tests.rs\"]\nmod tests;\n"),
            ("mm/fixture.rs", "use crate::store::g;\n"),
            ("mm_tests.rs", "use crate::store::g;\n"),
            ("mm/tests/kernel.rs", "use crate::store::g;\n"),
            ("store.rs", "pub fn g() {}\n"),
        ];
        assert_eq!(edges(&files), [""; 0]);
    }

    #[test]
    fn the_program_names_the_library() {
        assert_eq!(
            edges(&[("main.rs", "use memtrace::cli::run;\n"), ("cli.rs", "pub fn run() {}\n")]),
            ["main.rs:1 cli.rs"]
        );
    }

    #[test]
    fn other_crates_are_none_of_ours() {
        assert_eq!(
            edges(&[("mm.rs", "use std::fs;\nuse memtrace_common::event;\nfn f() { fs::read(x); }\n")]),
            [""; 0]
        );
    }
}
