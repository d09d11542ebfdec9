//! Text broken into lines.
//!
//! Printable text -> lines. Must not lose a character, except for spaces at line breaks.

use super::{split, width, width_behind};

/// Columns of the widest character.
const WIDEST: usize = 3;

/// Breaks text at spaces. A word longer than a line is broken too: a path before its slashes, other words at the end of
/// the line. Every line fits; a line has room for at least the widest character.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    lines(text, columns.max(WIDEST), Names::Cut)
}

/// The same, but a name in a path that is longer than a line is not broken, so that it can be copied.
pub fn wrap_paths(text: &str, columns: usize) -> Vec<String> {
    lines(text, columns.max(WIDEST), Names::Whole)
}

/// How to treat a name in a path that is longer than a line.
#[derive(Clone, Copy, PartialEq)]
enum Names {
    Cut,
    Whole,
}

fn lines(text: &str, columns: usize, names: Names) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let mut glue = if line.is_empty() { "" } else { " " };
        for piece in pieces(word, columns, names) {
            if !line.is_empty() && width(&line) + glue.len() + width_behind(piece) > columns {
                lines.push(std::mem::take(&mut line));
                glue = "";
            }
            line.push_str(glue);
            line.push_str(piece);
            glue = "";
        }
    }
    lines.push(line);
    lines
}

fn pieces(word: &str, columns: usize, names: Names) -> Vec<&str> {
    if width(word) <= columns {
        return vec![word];
    }
    let mut pieces = Vec::new();
    let mut rest = word;
    while !rest.is_empty() {
        let next_slash =
            rest.char_indices().skip(1).find(|(_, c)| *c == '/').map_or(rest.len(), |(at, _)| at);
        let (mut piece, mut after) = rest.split_at(next_slash);
        let is_whole = names == Names::Whole && piece.starts_with('/');
        if !is_whole && width(piece) > columns {
            (piece, after) = split(rest, columns);
        }
        pieces.push(piece);
        rest = after;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::{wrap, wrap_paths};

    #[test]
    fn lines_break_at_spaces_and_long_paths_before_slashes() {
        for wrap in [wrap, wrap_paths] {
            assert_eq!(wrap("one two three", 8), ["one two", "three"]);
            assert_eq!(wrap("in /a/bb/ccc there", 12), ["in /a/bb/ccc", "there"]);
            assert_eq!(wrap("in /aaaa/bbbb/cccc, there", 11), ["in /aaaa", "/bbbb/cccc,", "there"]);
            assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
            assert_eq!(wrap("", 3), [""]);
        }
        assert_eq!(wrap_paths("/abcdefgh/i", 3), ["/abcdefgh", "/i"]);
        assert_eq!(wrap("/abcdefgh/i", 3), ["/ab", "cde", "fgh", "/i"]);
    }
}
