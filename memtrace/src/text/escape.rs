//! Escapes untrusted text and bytes for printing.
//!
//! Any bytes -> text without characters that control a terminal, reorder their neighbours or are invisible. Must not
//! lose a byte.

/// The most characters of a name on a line; names of 4 KiB exist.
const MOST: usize = 1024;

/// A name from a kernel array, up to the NUL: older kernels leave parts of other names after it.
pub fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A process's name, escaped.
pub fn comm(bytes: &[u8]) -> String {
    escape(until_nul(bytes))
}

/// Untrusted bytes as text that is safe to print: backslashes, control and invisible characters and bytes that are not
/// UTF-8 are escaped, so that a name cannot control a terminal or forge a line. [`unescape`] undoes it.
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                c => push(&mut out, c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// The most bytes of a name that is kept; the names of C++ templates have hundreds.
pub const LONGEST_NAME: usize = 1024;
/// The most bytes of such a name once it is escaped: a character of one byte may become `\u{10ffff}`.
const LONGEST_ESCAPED: usize = 4 * LONGEST_NAME;

/// A name of a function or file that somebody else chose, escaped. A longer one is cut, because many are kept.
pub fn name(bytes: &[u8]) -> String {
    match bytes.get(..LONGEST_NAME) {
        Some(start) if start.len() < bytes.len() => cut(escape(start) + "..."),
        _ => cut(escape(bytes)),
    }
}

/// The same for a name that another process has escaped.
pub fn cut(mut name: String) -> String {
    if name.len() > LONGEST_ESCAPED {
        let end = (0..=LONGEST_ESCAPED).rev().find(|at| name.is_char_boundary(*at));
        name.truncate(end.unwrap_or_default());
    }
    name
}

/// Text that may already contain escapes, which are kept: only characters that would control a terminal are escaped.
/// Names should go through [`escape`]; this is a second line of defence.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| push(&mut out, c));
    out
}

/// The same for the first characters, for output of one line.
pub fn printable_start(text: &str) -> String {
    let mut out = String::new();
    text.chars().take(MOST).for_each(|c| push(&mut out, c));
    out
}

fn push(out: &mut String, c: char) {
    if c.is_control() || is_invisible(c) {
        out.extend(c.escape_unicode());
    } else {
        out.push(c);
    }
}

/// The original bytes of an escaped text. Anything but an escape is kept.
pub fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escaped) = rest.split_at(at);
        out.extend_from_slice(before.as_bytes());
        rest = match unescaped(escaped, &mut out) {
            Some(rest) => rest,
            None => {
                out.push(b'\\');
                escaped.get(1..).unwrap_or_default()
            }
        };
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// Undoes the escape at the start of this text, and returns the rest.
fn unescaped<'a>(text: &'a str, out: &mut Vec<u8>) -> Option<&'a str> {
    let text = text.strip_prefix('\\')?;
    if let Some(rest) = text.strip_prefix('\\') {
        out.push(b'\\');
        return Some(rest);
    }
    if let Some(text) = text.strip_prefix('x') {
        let (digits, rest) = text.split_at_checked(2)?;
        out.push(u8::from_str_radix(digits, 16).ok()?);
        return Some(rest);
    }
    let (digits, rest) = text.strip_prefix("u{")?.split_once('}')?;
    let c = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    Some(rest)
}

/// Characters that change the display of their neighbours, or are invisible (Unicode TR36: bidirectional overrides,
/// line separators, soft hyphens, zero width).
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{LONGEST_ESCAPED, LONGEST_NAME, cut, escape, name, printable, printable_start, unescape};

    #[test]
    fn names_cannot_drive_a_terminal() {
        assert_eq!(escape(b"\x1b[2J"), "\\u{1b}[2J");
        assert_eq!(escape(b"a\nb"), "a\\u{a}b");
        assert_eq!(escape(b"\xff\xfe"), "\\xff\\xfe");
        assert_eq!(escape("größe".as_bytes()), "größe");
        assert_eq!(escape("a\u{202e}b".as_bytes()), "a\\u{202e}b");
        assert_eq!(escape(b"a\\x1b"), "a\\\\x1b");
    }

    #[test]
    fn a_name_of_megabytes_is_cut_wherever_it_comes_from() {
        assert_eq!(name(b"main"), "main");
        assert_eq!(name(&[b'a'; LONGEST_NAME]).len(), LONGEST_NAME);
        let long = name(&vec![b'a'; 16 << 20]);
        assert!(long.ends_with("a...") && long.len() == LONGEST_NAME + 3);
        assert!(name(&vec![0xff; 1 << 20]).len() <= LONGEST_ESCAPED);
        assert!(cut("ä".repeat(1 << 20)).len() <= LONGEST_ESCAPED);
    }

    #[test]
    fn nothing_that_drives_a_terminal_gets_through() {
        assert_eq!(
            printable("a\x1b[2Jb\u{202e}c\n\u{ad}\u{2028}"),
            "a\\u{1b}[2Jb\\u{202e}c\\u{a}\\u{ad}\\u{2028}"
        );
        assert_eq!(printable("a\\u{1b}b"), "a\\u{1b}b");
        assert_eq!(printable_start(&"x".repeat(4096)).len(), 1024);
    }

    #[test]
    fn what_is_no_escape_stands_for_itself() {
        for text in ["a\\", "\\x", "\\xg0", "\\u{", "\\u{}", "\\u{110000}", "\\é"] {
            assert_eq!(unescape(text), text.as_bytes(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_escape_can_be_undone(bytes in prop::collection::vec(any::<u8>(), 0..60), c in any::<char>()) {
            let bytes = [bytes, c.to_string().into_bytes(), b"\\\n".to_vec()].concat();
            prop_assert_eq!(unescape(&escape(&bytes)), bytes);
        }
    }
}
