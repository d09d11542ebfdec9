//! Text in columns: measured, padded, cut, laid out.
//!
//! Any text -> text that fits a terminal's columns. Untrusted text must go through [`printable`] first. Must not
//! interpret the text.

pub mod csv;
mod escape;
mod wrap;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

pub use self::{
    escape::{comm, cut, escape, name, printable, printable_start, unescape, until_nul},
    wrap::{wrap, wrap_paths},
};

/// The default mark for an omitted part.
pub const GAP: &str = "...";
/// Spaces between two columns.
pub const BETWEEN: &str = "  ";

/// Width of the text in columns.
pub fn width(text: &str) -> usize {
    text.width()
}

/// The most columns that the text adds after any other text.
fn width_behind(text: &str) -> usize {
    text.chars().map(width_of).sum()
}

/// The most columns that a character takes: its neighbours can make it narrower, but not wider.
fn width_of(c: char) -> usize {
    match c {
        // It turns the character before it into an emoji of two columns.
        '\u{fe0f}' => 1,
        c => c.width().unwrap_or(1),
    }
}

/// Cuts the end off if the text is too wide.
pub fn keep_start(text: &str, columns: usize, gap: &str) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let kept = split(text, columns.saturating_sub(width(gap))).0;
    format!("{kept}{}", split(gap, columns).0)
}

/// Cuts the start off, because the end of a path is more specific.
pub fn keep_end(text: &str, columns: usize, gap: &str) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let kept = end(text, columns.saturating_sub(width(gap)));
    format!("{}{kept}", split(gap, columns).0)
}

/// Omits the start of a path, which is the least specific, and the middle of the last name if that is still too wide.
pub fn shorten_path(path: &str, columns: usize) -> String {
    /// The least width of a name that is still useful.
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
    format!("{}{GAP}{}", split(text, room - room / 2).0, end(text, room / 2))
}

/// Splits off the start that fits.
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

/// The end of the text that fits.
fn end(text: &str, columns: usize) -> &str {
    let mut used = 0;
    for (index, c) in text.char_indices().rev() {
        used += width_of(c);
        if used > columns {
            return text.get(index + c.len_utf8()..).unwrap_or_default();
        }
    }
    text
}

/// Alignment of a cell in its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// The left.
    Left,
    /// The right: figures.
    Right,
}

/// Pads to a width.
pub fn pad(text: &str, columns: usize, align: Align) -> String {
    let fill = " ".repeat(columns.saturating_sub(width(text)));
    match align {
        Align::Left => format!("{text}{fill}"),
        Align::Right => format!("{fill}{text}"),
    }
}

/// Lays out rows of cells in columns that are as wide as their widest cell; no spaces at the ends of lines.
pub fn columns(aligns: &[Align], rows: &[Vec<String>]) -> Vec<String> {
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
    use proptest::prelude::*;

    use super::{Align, columns, keep_end, keep_start, printable, shorten_path, width, wrap, wrap_paths};

    #[test]
    fn cuts_say_so() {
        assert_eq!(keep_start("redis-server", 6, "…"), "redis…");
        assert_eq!(keep_end("/kubepods/pod1/redis", 8, "…"), "…1/redis");
        assert_eq!(keep_start("größe", 5, "…"), "größe");
        assert_eq!(keep_end("日本語", 4, "…"), "…語");
        assert_eq!(keep_start("redis-server", 2, "..."), "..");
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

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["日本", "1"], ["a", "23"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(columns(&[Align::Left, Align::Right], &rows), ["日本   1", "a     23"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// The second kind of text contains sequences that are wider or narrower than their single characters.
        #[test]
        fn what_is_cut_fits(
            text in prop_oneof![".{0,80}", "[ /a日❤☺👍🏽🇩🇪\u{fe0f}\u{301}]{0,40}"],
            columns in 0_usize..40,
        ) {
            let text = printable(&text);
            prop_assert!(width(&keep_start(&text, columns, "...")) <= columns);
            prop_assert!(width(&keep_end(&text, columns, "...")) <= columns);
            prop_assert!(width(&shorten_path(&text, columns.max(8))) <= columns.max(8));
            for line in wrap(&text, columns) {
                prop_assert!(width(&line) <= columns.max(3), "{line:?}");
            }
            let spaceless = |lines: &[String]| lines.concat().replace(' ', "");
            let text = text.replace(' ', "");
            prop_assert_eq!(spaceless(&wrap(&text, columns)), &*text);
            prop_assert_eq!(spaceless(&wrap_paths(&text, columns)), &*text);
        }
    }
}
