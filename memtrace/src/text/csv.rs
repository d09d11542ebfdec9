//! A field of comma-separated values.
//!
//! Untrusted text -> a field by RFC 4180 that no spreadsheet takes for a formula. Must not know what the text means.

use super::printable;

/// Text that begins like this is a formula in spreadsheets; the last four are read as the first four in East Asian locales.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// The text as a field: an apostrophe before what looks like a formula, quotes where the text would end the field.
pub fn field(text: &str) -> String {
    let text = printable(text);
    let text = if text.starts_with(FORMULA) { format!("'{text}") } else { text };
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn no_text_is_a_formula_or_a_second_field() {
        for (text, expected) in [
            ("redis-server", "redis-server"),
            ("", ""),
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("@SUM(1,2)", "\"'@SUM(1,2)\""),
            ("＝1+1", "'＝1+1"),
            ("-", "'-"),
            ("a,b\"c", "\"a,b\"\"c\""),
            // Control characters are escaped, so that none of them comes before a sign or ends a line.
            ("\t=1+1", "\\u{9}=1+1"),
            ("a\r\nb", "a\\u{d}\\u{a}b"),
        ] {
            assert_eq!(field(text), expected, "{text:?}");
        }
    }
}
