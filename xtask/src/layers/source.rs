//! The top-level modules that a source file names.
//!
//! Rust text -> (module, line) of each `crate::module`, also in braces and through `super`.
//! Must not need a compiler: it reads tokens, and skips comments and strings.

use std::iter::Peekable;

mod tokens;

use tokens::{Kind, Token, tokens};

/// One reference to a top-level module of the crate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Import {
    pub(crate) module: String,
    pub(crate) line: usize,
}

/// Every reference in the text of a file that is `module`.
pub(crate) fn imports(module: &[String], text: &str) -> Vec<Import> {
    let mut found = Vec::new();
    let mut inline = Inline::default();
    let mut tokens = tokens(text).into_iter().peekable();
    let mut before = Kind::Other;
    while let Some(token) = tokens.next() {
        inline.see(&token, tokens.peek());
        let starts_path = before != Kind::Path;
        before = token.kind;
        match token.text {
            "crate" if starts_path => collect(&mut tokens, &mut found),
            "super" if starts_path => {
                let depth = module.len() + inline.depth();
                if supers(&mut tokens) == depth {
                    collect(&mut tokens, &mut found);
                }
            }
            _ => {}
        }
    }
    found
}

/// The number of `super` in a row, the first one being read already.
fn supers<'a>(tokens: &mut Peekable<impl Iterator<Item = Token<'a>> + Clone>) -> usize {
    let mut count = 1;
    loop {
        let mut ahead = tokens.clone();
        let is_path = ahead.next().is_some_and(|token| token.kind == Kind::Path);
        if !is_path || ahead.next().is_none_or(|token| token.text != "super") {
            return count;
        }
        tokens.next();
        tokens.next();
        count += 1;
    }
}

/// What stands behind `crate`: `::a` or `::{a, b::c}`; the first name of each branch is a top-level module.
fn collect<'a>(tokens: &mut Peekable<impl Iterator<Item = Token<'a>>>, found: &mut Vec<Import>) {
    if tokens.next_if(|token| token.kind == Kind::Path).is_none() {
        return;
    }
    let mut import =
        |token: Token<'a>| found.push(Import { module: token.text.to_owned(), line: token.line });
    if let Some(name) = tokens.next_if(|token| token.kind == Kind::Name) {
        import(name);
        return;
    }
    if tokens.next_if(|token| token.text == "{").is_none() {
        return;
    }
    let mut depth = 1;
    let mut is_first = true;
    for token in tokens {
        match token.text {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 1 => is_first = true,
            "self" => {}
            _ if is_first && token.kind == Kind::Name => {
                is_first = false;
                import(token);
            }
            _ => {}
        }
        if depth == 0 {
            return;
        }
    }
}

/// The `mod name { .. }` blocks that we are inside of: each is one more `super` away from the root.
#[derive(Default)]
struct Inline {
    braces: usize,
    blocks: Vec<usize>,
    is_mod: bool,
}

impl Inline {
    fn see(&mut self, token: &Token<'_>, next: Option<&Token<'_>>) {
        match token.text {
            "mod" => self.is_mod = next.is_some_and(|name| name.kind == Kind::Name),
            "{" => {
                if self.is_mod {
                    self.blocks.push(self.braces);
                }
                self.braces += 1;
                self.is_mod = false;
            }
            "}" => {
                self.braces = self.braces.saturating_sub(1);
                if self.blocks.last() == Some(&self.braces) {
                    self.blocks.pop();
                }
            }
            ";" => self.is_mod = false,
            _ => {}
        }
    }

    fn depth(&self) -> usize {
        self.blocks.len()
    }
}
