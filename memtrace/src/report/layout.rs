//! Text in columns: escaping, measuring, wrapping, shortening.
//!
//! Any text -> lines that fit and cannot drive a terminal. Knows nothing about records.

use crate::units::escape;

/// What stands for the part that was left out.
const GAP: &str = "...";

/// Escapes what the record's writer did not: control and invisible characters, and line separators. Backslashes stay,
/// they are the escapes that are already there.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut buffer = [0; 4];
    for c in text.chars() {
        match c {
            '\\' => out.push(c),
            '\u{2028}' | '\u{2029}' => out.extend(c.escape_unicode()),
            c => out.push_str(&escape(c.encode_utf8(&mut buffer).as_bytes())),
        }
    }
    out
}

/// Columns that a terminal needs for the text; rather one too many than one too few.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(width_of).sum()
}

fn width_of(c: char) -> usize {
    match c {
        // East Asian wide and full-width forms, and emoji (Unicode TR11), by block.
        '\u{1100}'..='\u{115f}'
        | '\u{231a}'..='\u{23ff}'
        | '\u{25fd}'..='\u{27bf}'
        | '\u{2b00}'..='\u{2bff}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{a960}'..='\u{a97c}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe10}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{16fe0}'..='\u{1b2ff}'
        | '\u{1d300}'..='\u{1d37f}'
        | '\u{1f000}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

/// The beginning of the text that fits, and the rest.
fn split(text: &str, columns: usize) -> (&str, &str) {
    let mut used = 0;
    for (index, c) in text.char_indices() {
        used += width_of(c);
        if used > columns {
            return text.split_at(index);
        }
    }
    (text, "")
}

/// Breaks text into lines: at spaces; inside of a word only when it is longer than a line, a path before its slashes
/// (a longer name stays whole, it could not be copied otherwise), anything else where the line ends.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let mut glue = if line.is_empty() { "" } else { " " };
        for piece in pieces(word, columns) {
            if !line.is_empty() && width(&line) + glue.len() + width(piece) > columns {
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

fn pieces(word: &str, columns: usize) -> Vec<&str> {
    if width(word) <= columns {
        return vec![word];
    }
    let mut pieces = Vec::new();
    let mut rest = word;
    while !rest.is_empty() {
        let next_slash =
            rest.char_indices().skip(1).find(|(_, c)| *c == '/').map_or(rest.len(), |(at, _)| at);
        let (mut piece, mut after) = rest.split_at(next_slash);
        if !piece.starts_with('/') && width(piece) > columns {
            (piece, after) = split(rest, columns.max(2));
        }
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// Cuts the end off.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    format!("{}{GAP}", split(text, columns.saturating_sub(GAP.len())).0)
}

/// Leaves out the beginning of a path, which tells least, and the middle of the name where it would not fit.
pub(super) fn shorten_path(path: &str, columns: usize) -> String {
    /// Less of a name is no help.
    const NAME: usize = 12;
    if width(path) <= columns {
        return path.to_owned();
    }
    let room = columns.saturating_sub(GAP.len());
    let mut end = String::new();
    for name in path.split('/').filter(|name| !name.is_empty()).rev() {
        let left = room.saturating_sub(width(&end));
        let name = format!("/{name}");
        if width(&name) <= left {
            end = name + &end;
            continue;
        }
        if end.is_empty() || left >= NAME {
            end = cut_middle(&name, left) + &end;
        }
        break;
    }
    format!("{GAP}{end}")
}

fn cut_middle(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let room = columns.saturating_sub(GAP.len());
    let reversed: String = text.chars().rev().collect();
    let end: String = split(&reversed, room / 2).0.chars().rev().collect();
    format!("{}{GAP}{end}", split(text, room - room / 2).0)
}

/// Which edge of its column a cell keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Fills up to a width.
pub(super) fn pad(text: &str, columns: usize, align: Align) -> String {
    let fill = " ".repeat(columns.saturating_sub(width(text)));
    match align {
        Align::Left => format!("{text}{fill}"),
        Align::Right => format!("{fill}{text}"),
    }
}

/// Spaces between two columns.
pub(super) const BETWEEN: &str = "  ";

/// Lays out rows of cells in columns that are as wide as their widest cell; no spaces at the ends of lines.
pub(super) fn columns(aligns: &[Align], rows: &[Vec<String>]) -> Vec<String> {
    let mut widths = vec![0; aligns.len()];
    for row in rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = width(cell).max(*widest);
        }
    }
    rows.iter()
        .map(|row| {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .zip(aligns)
                .map(|((cell, width), align)| pad(cell, *width, *align))
                .collect();
            cells.join(BETWEEN).trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{printable, shorten_path, width, wrap};

    #[test]
    fn what_is_escaped_stays_as_it_is() {
        assert_eq!(printable("a\\u{1b}b"), "a\\u{1b}b");
        assert_eq!(printable("a\u{1b}b\u{2028}"), "a\\u{1b}b\\u{2028}");
    }

    #[test]
    fn lines_break_at_spaces_and_long_paths_before_slashes() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("in /a/bb/ccc there", 12), ["in /a/bb/ccc", "there"]);
        assert_eq!(wrap("in /aaaa/bbbb/cccc, there", 11), ["in /aaaa", "/bbbb/cccc,", "there"]);
        assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrap("/abcdefgh/i", 3), ["/abcdefgh", "/i"]);
        assert_eq!(wrap("", 3), [""]);
    }

    #[test]
    fn a_shortened_path_keeps_its_end() {
        let path = "/kubepods/burstable/pod12-6e0b4bb2/abcdef012345";
        for (columns, text) in [
            (47, path),
            (46, ".../burstable/pod12-6e0b4bb2/abcdef012345"),
            (28, ".../pod1...4bb2/abcdef012345"),
            (27, ".../abcdef012345"),
            (12, ".../ab...345"),
        ] {
            assert_eq!(shorten_path(path, columns), text);
            assert!(width(text) <= columns);
        }
    }
}
