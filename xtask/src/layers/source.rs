//! What a source file names.
//!
//! Rust text -> its modules, each with the items that it defines, the names that it imports and the paths that it uses,
//! with their lines. Must not know which of them exist: `crates` resolves them.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, Item, UseTree,
    visit::{self, Visit},
};

/// A module as its text has it: a file, or a `mod name { .. }` in one.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// From the root of the crate.
    pub(crate) path: Vec<String>,
    pub(crate) items: Vec<String>,
    /// Name -> path, as written.
    pub(crate) aliases: BTreeMap<String, Vec<String>>,
    /// Modules all of whose names are imported.
    pub(crate) globs: Vec<Vec<String>>,
    /// What is named, and where.
    pub(crate) uses: Vec<(Vec<String>, usize)>,
}

/// A file.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// The file's own, then those inside of it.
    pub(crate) modules: Vec<Module>,
    /// Modules in files of their own that are compiled for tests alone.
    pub(crate) test_modules: Vec<Vec<String>>,
}

/// Reads the text of the file that is the module `path`.
pub(crate) fn read(path: &[String], text: &str) -> Result<Source> {
    let file = syn::parse_file(text).context("failed to parse Rust")?;
    let mut reader = Reader { source: Source::default(), open: Vec::new() };
    reader.module(path.to_vec(), &file.items);
    Ok(reader.source)
}

struct Reader {
    source: Source,
    /// The modules that we are inside of, innermost last; indices into the source's.
    open: Vec<usize>,
}

impl Reader {
    fn module(&mut self, path: Vec<String>, items: &[Item]) {
        self.open.push(self.source.modules.len());
        self.source.modules.push(Module { path, ..Module::default() });
        for item in items {
            self.visit_item(item);
        }
        self.open.pop();
    }

    fn current(&mut self) -> Option<&mut Module> {
        let at = self.open.last()?;
        self.source.modules.get_mut(*at)
    }

    fn named(&mut self, path: Vec<String>, line: usize) {
        // A name alone is an item of this file, or one that is imported by a line of its own.
        if path.len() > 1
            && let Some(module) = self.current()
        {
            module.uses.push((path, line));
        }
    }

    fn import(&mut self, tree: &UseTree, before: &[String]) {
        let with = |name: &proc_macro2::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.import(&path.tree, &with(&path.ident)),
            UseTree::Name(name) if name.ident == "self" => {
                self.imported(before.last().cloned(), before.to_vec(), name.ident.span().start().line);
            }
            UseTree::Name(name) => {
                self.imported(
                    Some(name.ident.to_string()),
                    with(&name.ident),
                    name.ident.span().start().line,
                );
            }
            UseTree::Rename(name) => {
                let path = if name.ident == "self" { before.to_vec() } else { with(&name.ident) };
                self.imported(Some(name.rename.to_string()), path, name.ident.span().start().line);
            }
            UseTree::Glob(glob) => {
                let line = glob.star_token.spans[0].start().line;
                if let Some(module) = self.current() {
                    module.globs.push(before.to_vec());
                    module.uses.push((before.to_vec(), line));
                }
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, before)),
        }
    }

    fn imported(&mut self, name: Option<String>, path: Vec<String>, line: usize) {
        if let (Some(name), Some(module)) = (name, self.current()) {
            module.uses.push((path.clone(), line));
            // `use x;` at the root gives x the name that it has.
            if path.len() > 1 {
                module.aliases.insert(name, path);
            }
        }
    }

    /// What a macro is given, and what an attribute says in quotes (`#[serde(with = "crate::a")]`).
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let (mut line, mut colons) = (0, 0);
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.named(std::mem::take(&mut path), line);
                        line = ident.span().start().line;
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                other => {
                    self.named(std::mem::take(&mut path), line);
                    colons = 0;
                    match other {
                        TokenTree::Group(group) => self.tokens(group.stream()),
                        TokenTree::Literal(literal) => self.quoted(&literal),
                        _ => {}
                    }
                }
            }
        }
        self.named(path, line);
    }

    fn quoted(&mut self, literal: &proc_macro2::Literal) {
        let text = literal.to_string();
        if let Some(path) = text.strip_prefix("\"crate::").and_then(|text| text.strip_suffix('"')) {
            let path = std::iter::once("crate").chain(path.split("::")).map(str::to_owned).collect();
            self.named(path, literal.span().start().line);
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        let (name, attributes) = described(item);
        if is_for_tests(attributes) {
            if let (Item::Mod(module), Some(path)) = (item, self.current().map(|module| module.path.clone()))
                && module.content.is_none()
            {
                self.source.test_modules.push([&path[..], &[module.ident.to_string()]].concat());
            }
            return;
        }
        if let (Some(name), Some(module)) = (name, self.current()) {
            module.items.push(name);
        }
        match item {
            Item::Mod(module) => {
                if let (Some((_, items)), Some(current)) = (&module.content, self.current()) {
                    let path = [&current.path[..], &[module.ident.to_string()]].concat();
                    self.module(path, items);
                }
            }
            Item::Macro(rules) => self.tokens(rules.mac.tokens.clone()),
            item => visit::visit_item(self, item),
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.import(&item.tree, &[]);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none()
            && let Some(first) = path.segments.first()
        {
            let names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.named(names, first.ident.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        self.visit_path(&mac.path);
        self.tokens(mac.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
        }
    }
}

fn described(item: &Item) -> (Option<String>, &[Attribute]) {
    match item {
        Item::Const(item) => (Some(item.ident.to_string()), &item.attrs),
        Item::Enum(item) => (Some(item.ident.to_string()), &item.attrs),
        Item::Fn(item) => (Some(item.sig.ident.to_string()), &item.attrs),
        Item::Impl(item) => (None, &item.attrs),
        Item::Macro(item) => (item.ident.as_ref().map(ToString::to_string), &item.attrs),
        Item::Mod(item) => (None, &item.attrs),
        Item::Static(item) => (Some(item.ident.to_string()), &item.attrs),
        Item::Struct(item) => (Some(item.ident.to_string()), &item.attrs),
        Item::Trait(item) => (Some(item.ident.to_string()), &item.attrs),
        Item::Type(item) => (Some(item.ident.to_string()), &item.attrs),
        Item::Union(item) => (Some(item.ident.to_string()), &item.attrs),
        Item::Use(item) => (None, &item.attrs),
        _ => (None, &[]),
    }
}

/// `#[test]`, `#[cfg(test)]` and `#[cfg(all(test, ..))]`; what has `any` is compiled without tests too.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::Path(path) => path.is_ident("test"),
        syn::Meta::List(list) if list.path.is_ident("cfg") => {
            let said = list.tokens.to_string().replace(' ', "");
            said == "test" || said.starts_with("all(test,")
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(text: &str) -> Vec<String> {
        let source = read(&["mm".to_owned()], text).unwrap();
        let all = source.modules.iter().flat_map(|module| &module.uses);
        all.map(|(path, line)| format!("{line} {}", path.join("::"))).collect()
    }

    #[test]
    fn nested_braces_are_entered() {
        let text = "use crate::{\n    probe::{Plan, plan as p},\n    report::{self, text::*},\n};\n";
        let expected =
            ["2 crate::probe::Plan", "2 crate::probe::plan", "3 crate::report", "3 crate::report::text"];
        assert_eq!(uses(text), expected);
    }

    #[test]
    fn paths_are_seen_in_types_expressions_patterns_and_macros() {
        let text = "fn f(a: &crate::a::A) {\n  crate::b::c();\n  if let crate::d::E::F = x {}\n  \
                    format!(\"{}\", crate::g::H.i());\n}\n#[serde(with = \"crate::j\")]\nstruct S;\n";
        let expected = ["1 crate::a::A", "2 crate::b::c", "3 crate::d::E::F", "4 crate::g::H", "6 crate::j"];
        assert_eq!(uses(text), expected);
    }

    #[test]
    fn comments_strings_and_tests_name_nothing() {
        let text = "//! Unlike crate::store, this.\n/* use crate::api; */\nconst S: &str = \"see crate::top\";\n\
                    #[cfg(test)]\nmod tests { use crate::cli::X; }\n#[test]\nfn t() { crate::x::y(); }\n";
        assert_eq!(uses(text), [""; 0]);
    }

    #[test]
    fn a_module_of_tests_in_a_file_of_its_own_is_told() {
        let source = read(&["mm".to_owned()], "#[cfg(test)]\nmod fixture;\nmod region;\n").unwrap();
        assert_eq!(source.test_modules, [["mm", "fixture"]]);
    }

    #[test]
    fn what_is_not_rust_is_an_error() {
        assert!(read(&[], "fn (").is_err());
    }
}
