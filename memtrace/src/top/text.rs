//! Text from outside in cells of a terminal: made harmless, measured, cut.
//!
//! Any text -> text that fits. Must not let a character through that moves the cursor or hides its neighbours.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Characters of a name that are looked at; names of 4 KiB exist.
const MOST: usize = 1024;

/// Columns that the text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// The text without what could drive a terminal. The writers of names escape already; this is for what they forgot.
pub fn printable(text: &str) -> String {
    text.chars().take(MOST).map(|c| if is_harmless(c) { c } else { '\u{fffd}' }).collect()
}

fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Cuts the end off.
pub fn keep_start(text: &str, columns: usize, gap: &str) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let kept = take(text.chars(), columns.saturating_sub(gap.width()));
    kept.into_iter().chain(take(gap.chars(), columns)).collect()
}

/// Cuts the beginning off: the end of a path tells more.
pub fn keep_end(text: &str, columns: usize, gap: &str) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let kept = take(text.chars().rev(), columns.saturating_sub(gap.width()));
    take(gap.chars(), columns).into_iter().chain(kept.into_iter().rev()).collect()
}

fn take(chars: impl Iterator<Item = char>, columns: usize) -> Vec<char> {
    let mut used = 0;
    chars
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= columns
        })
        .collect()
}

/// Breaks text at spaces; a word that is longer than a line is cut where the line ends.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(2);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let mut word = word;
        if !line.is_empty() && line.width() + 1 + word.width() > columns {
            lines.push(std::mem::take(&mut line));
        }
        while word.width() > columns {
            let head: String = take(word.chars(), columns).into_iter().collect();
            // A character that is wider than the line: never, with two columns at least.
            word = word.get(head.len().max(1)..).unwrap_or_default();
            lines.push(head);
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{keep_end, keep_start, printable, width, wrap};

    #[test]
    fn nothing_that_drives_a_terminal_gets_through() {
        assert_eq!(printable("a\x1b[2Jb\u{202e}c\n"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}");
        assert_eq!(printable(&"x".repeat(4096)).len(), 1024);
    }

    #[test]
    fn cuts_say_so() {
        assert_eq!(keep_start("redis-server", 6, "…"), "redis…");
        assert_eq!(keep_end("/kubepods/pod1/redis", 8, "…"), "…1/redis");
        assert_eq!(keep_start("größe", 5, "…"), "größe");
        assert_eq!(keep_end("日本語", 4, "…"), "…語");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_cut_fits(text in ".{0,80}", columns in 0_usize..40) {
            let text = printable(&text);
            prop_assert!(width(&keep_start(&text, columns, "...")) <= columns);
            prop_assert!(width(&keep_end(&text, columns, "...")) <= columns);
            for line in wrap(&text, columns) {
                prop_assert!(width(&line) <= columns.max(2), "{line:?}");
            }
        }
    }
}
