//! Parses typed numbers, according to the kind of column.
//!
//! `512m`, `80%`, `10m`, `3` -> the number in the column's unit: bytes, a share, seconds, a count.

use jiff::Timestamp;

use crate::top::column::Kind;

/// Parses a number for a column of a kind.
pub(super) fn read(kind: Kind, text: &str) -> Result<f64, String> {
    let (read, expected) = match kind {
        Kind::Bytes | Kind::Change | Kind::Trend => (size(text), "a size, such as 512m or 1.5g"),
        Kind::Bar | Kind::Share => (share(text), "a share, such as 80% or 0.8"),
        Kind::Seconds => (seconds(text), "a time, such as 90s, 10m, 2h or 7d"),
        Kind::Time => (time(text), "a time with its zone, such as 2026-11-22T19:00:00Z"),
        Kind::Count | Kind::Number | Kind::Name | Kind::Words(_) | Kind::Sentence => {
            (decimal(text), "a number")
        }
    };
    read.ok_or_else(|| format!("expected {expected}"))
}

fn decimal(text: &str) -> Option<f64> {
    // Only digits, because parse() also accepts "inf" and "1e400".
    let is_plain = text.strip_prefix('-').unwrap_or(text).bytes().all(|b| b.is_ascii_digit() || b == b'.');
    text.parse().ok().filter(|number: &f64| is_plain && number.is_finite())
}

fn with_unit(text: &str) -> Option<(f64, String)> {
    let end = text.find(|c: char| c.is_ascii_alphabetic() || c == '%').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    Some((decimal(number)?, unit.to_ascii_lowercase()))
}

fn size(text: &str) -> Option<f64> {
    let (number, unit) = with_unit(text.strip_suffix("/s").unwrap_or(text))?;
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let power = match unit.strip_suffix('i').unwrap_or(unit) {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    Some(number * 1024_f64.powi(power))
}

fn share(text: &str) -> Option<f64> {
    match with_unit(text)? {
        (number, unit) if unit == "%" => Some(number / 100.0),
        // Numbers above 1 are percentages.
        (number, unit) if unit.is_empty() => Some(if number > 1.0 { number / 100.0 } else { number }),
        _ => None,
    }
}

fn seconds(text: &str) -> Option<f64> {
    let (number, unit) = with_unit(text)?;
    let each = match unit.as_str() {
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return None,
    };
    Some(number * each)
}

fn time(text: &str) -> Option<f64> {
    Some(text.parse::<Timestamp>().ok()?.as_millisecond() as f64 / 1e3)
}
