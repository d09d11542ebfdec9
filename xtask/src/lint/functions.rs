//! The length of functions.
//!
//! A Rust file's name and text -> a problem for each function that is too long. Must not make exceptions: they would
//! spread.

use syn::{
    Attribute, Block, Signature,
    visit::{self, Visit},
};

/// A function has fewer lines than this, its signature and braces included.
const TOO_MANY: usize = 80;

/// One problem a function that is too long.
pub(crate) fn check(name: &str, text: &str) -> Vec<String> {
    if !name.ends_with(".rs") {
        return Vec::new();
    }
    match syn::parse_file(text) {
        Ok(file) => {
            let mut lengths = Lengths::default();
            lengths.visit_file(&file);
            lengths.long.into_iter().map(|found| format!("{name}:{found}")).collect()
        }
        Err(error) => vec![format!("{name}:{}: failed to parse Rust: {error}", error.span().start().line)],
    }
}

#[derive(Default)]
struct Lengths {
    long: Vec<String>,
}

impl Lengths {
    fn function(&mut self, signature: &Signature, body: &Block) {
        let first = signature.fn_token.span.start().line;
        let lines = (body.brace_token.span.close().end().line + 1).saturating_sub(first);
        if lines >= TOO_MANY {
            let name = &signature.ident;
            self.long.push(format!(
                "{first}: the function {name} has {lines} lines, allowed are fewer than {TOO_MANY}: extract a part of it"
            ));
        }
    }
}

impl<'ast> Visit<'ast> for Lengths {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.function(&item.sig, body);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(lines: usize) -> String {
        format!("/// What it does.\nfn f() {{\n{}}}\n", "x();\n".repeat(lines - 2))
    }

    #[test]
    fn a_function_below_the_limit_passes_and_one_at_it_does_not() {
        assert_eq!(check("a.rs", &function(TOO_MANY - 1)), [""; 0]);
        let found = check("a.rs", &function(TOO_MANY));
        assert!(found[0].starts_with("a.rs:2: the function f has 80 lines"), "{found:?}");
    }

    #[test]
    fn methods_of_types_and_traits_and_tests_are_functions_too() {
        for around in ["impl A", "trait A", "#[cfg(test)] mod tests"] {
            assert_eq!(check("a.rs", &format!("{around} {{ {} }}", function(TOO_MANY))).len(), 1, "{around}");
        }
    }

    #[test]
    fn only_rust_is_read_and_what_is_not_rust_is_a_problem() {
        assert_eq!(check("a.md", &function(TOO_MANY)), [""; 0]);
        assert!(check("a.rs", "fn (").first().is_some_and(|problem| problem.starts_with("a.rs:1: failed")));
    }
}
