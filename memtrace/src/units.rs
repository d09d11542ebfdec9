//! Numbers with their units, and their text.
//!
//! Input: counts from the kernel. Output: newtypes whose `Display` is what a person reads; JSON carries the raw
//! number. Nothing here does I/O.

use std::fmt;

use serde::{Deserialize, Serialize};

pub mod native;
pub mod raw;

/// A count of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Bytes {
    /// From kibibytes, as the kernel log and /proc print them.
    pub const fn from_kib(kib: u64) -> Self {
        Self(kib.saturating_mul(1024))
    }
}

impl fmt::Display for Bytes {
    /// IEC units with three significant digits at least: `512 B`, `1.5 KiB`, `64.0 MiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let Self(bytes) = *self;
        if bytes < 1024 {
            return f.pad(&format!("{bytes} B"));
        }
        let mut value = bytes as f64 / 1024.0;
        let mut unit = "KiB";
        for next in UNITS.into_iter().skip(1) {
            if value < 1023.95 {
                break;
            }
            value /= 1024.0;
            unit = next;
        }
        f.pad(&format!("{value:.1} {unit}"))
    }
}

/// How a figure was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// From the kernel's or the allocator's own counters.
    Read,
    /// From page tables.
    Measured,
    /// From samples, with their period.
    Sampled,
    /// From shape, by a rule.
    Inferred,
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Read => "read",
            Self::Measured => "measured",
            Self::Sampled => "sampled",
            Self::Inferred => "inferred",
        })
    }
}

/// A name that the kernel keeps in an array, up to its end: what older kernels leave behind the NUL is of other names.
pub fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A process's name, escaped.
pub fn comm(bytes: &[u8]) -> String {
    escape(until_nul(bytes))
}

/// Text from outside, safe to print: control characters, quotes' escapes and bytes that are not UTF-8 are escaped,
/// so that a name cannot drive a terminal or forge a line.
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                c if c.is_control() || is_invisible(c) => out.extend(c.escape_unicode()),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// The bytes that [`escape`] was given. What is no escape of its stands for itself.
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

/// Undoes the escape that this text begins with, and returns what is behind it.
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

/// Characters that change how their neighbours are shown, or nothing at all (Unicode TR36: bidirectional
/// overrides, line separators, zero width).
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Bytes, escape, unescape};

    #[test]
    fn bytes_read_like_a_person_says_them() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (64 << 20, "64.0 MiB"),
            ((1 << 30) - 1, "1.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

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
