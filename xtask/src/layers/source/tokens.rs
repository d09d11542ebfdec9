//! Just enough of Rust's grammar to find paths.
//!
//! Text -> names, `::` and single signs, each with its line. Must not fail: what it does not know is a sign.

/// What a token is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Name,
    /// `::`
    Path,
    Other,
}

/// A piece of the text outside of comments and literals.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
    pub(crate) line: usize,
}

/// All tokens of a text.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let (kind, length) = next(rest, first);
        let (token, after) = rest.split_at_checked(length.max(1)).unwrap_or((rest, ""));
        if let Some(kind) = kind {
            found.push(Token { kind, text: token, line });
        }
        line += token.matches('\n').count();
        rest = after;
    }
    found
}

/// The kind and the length of what a text starts with; no kind for what is skipped.
fn next(rest: &str, first: char) -> (Option<Kind>, usize) {
    if let Some(length) = comment(rest).or_else(|| literal(rest)) {
        (None, length)
    } else if first.is_alphabetic() || first == '_' {
        (Some(Kind::Name), name(rest))
    } else if rest.starts_with("::") {
        (Some(Kind::Path), 2)
    } else if first.is_whitespace() {
        (None, first.len_utf8())
    } else {
        (Some(Kind::Other), first.len_utf8())
    }
}

fn name(rest: &str) -> usize {
    rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
}

fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    let mut inside = rest.strip_prefix("/*")?;
    let mut depth = 1;
    while depth > 0 && !inside.is_empty() {
        let step = match (inside.starts_with("/*"), inside.starts_with("*/")) {
            (true, _) => 1,
            (_, true) => -1,
            _ => 0,
        };
        depth += step;
        let skip = if step == 0 { inside.chars().next().map_or(0, char::len_utf8) } else { 2 };
        inside = inside.get(skip..).unwrap_or_default();
    }
    Some(rest.len() - inside.len())
}

/// A string in any of its forms, or a character; a lifetime is neither.
fn literal(rest: &str) -> Option<usize> {
    let body = rest.trim_start_matches(['b', 'c']);
    let prefix = rest.len() - body.len();
    if let Some(raw) = body.strip_prefix('r') {
        let quoted = raw.trim_start_matches('#');
        let hashes = raw.len() - quoted.len();
        let inside = quoted.strip_prefix('"').filter(|_| prefix <= 1)?;
        let end = format!("\"{}", "#".repeat(hashes));
        let length = inside.find(&end).map_or(inside.len(), |at| at + end.len());
        return Some(prefix + 1 + hashes + 1 + length);
    }
    let quote = body.chars().next().filter(|c| prefix <= 1 && matches!(c, '"' | '\''))?;
    let is_lifetime = quote == '\'' && !body.starts_with("'\\") && body.chars().nth(2) != Some('\'');
    if is_lifetime {
        return Some(prefix + 1).filter(|_| prefix == 0);
    }
    let mut is_escaped = false;
    for (at, c) in body.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if c == quote => return Some(prefix + at + 1),
            _ => {}
        }
    }
    Some(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<&str> {
        tokens(text).into_iter().filter(|token| token.kind == Kind::Name).map(|token| token.text).collect()
    }

    #[test]
    fn literals_and_comments_are_skipped() {
        let text =
            "a \"x \\\" y\" b r#\"z \" w\"# c b\"v\" d 'e' f '\\'' g /* h /* i */ j */ k // l\nm br\"n\" o";
        assert_eq!(names(text), ["a", "b", "c", "d", "f", "g", "k", "m", "o"]);
    }

    #[test]
    fn lifetimes_and_names_that_start_like_literals_are_read() {
        assert_eq!(
            names("fn f<'a>(rest: &'a str, b: c::r)"),
            ["fn", "f", "a", "rest", "a", "str", "b", "c", "r"]
        );
    }

    #[test]
    fn lines_are_counted_through_skipped_text() {
        let found = tokens("/* 1\n2 */\n\"3\n4\"\nlast");
        assert_eq!(found, [Token { kind: Kind::Name, text: "last", line: 5 }]);
    }

    #[test]
    fn an_unended_literal_ends_with_the_text() {
        assert_eq!(names("a \"b"), ["a"]);
        assert_eq!(names("a /* b"), ["a"]);
        assert_eq!(names("a r#\"b"), ["a"]);
    }
}
