//! Sizes and rates as people type them: `512M`, `1.5GiB`, `1M/h`.
//!
//! Text -> bytes, or bytes a second. Units are powers of 1024, as in limits of cgroups and containers.

use crate::units::Bytes;

const EXPECTED: &str = "expected a size such as 512M, 1.5G or 1048576";

/// Parses a size.
///
/// # Errors
/// What is expected.
pub fn size(text: &str) -> Result<Bytes, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim().to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => return Err(EXPECTED.to_owned()),
    };
    // Whole numbers keep all of their digits.
    let bytes = match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(factor),
        Err(_) => number
            .parse::<f64>()
            .ok()
            .map(|number| number * factor as f64)
            .filter(|bytes| bytes.is_finite() && *bytes < u64::MAX as f64)
            .map(|bytes| bytes as u64),
    };
    bytes.map(Bytes).ok_or_else(|| EXPECTED.to_owned())
}

/// Parses a size by second, minute, hour or day, into bytes a second.
///
/// # Errors
/// What is expected.
pub fn rate(text: &str) -> Result<f64, String> {
    let expected = || "expected a size by time, such as 1M/h, 64K/min or 10M/d".to_owned();
    let (amount, unit) = text.split_once('/').ok_or_else(expected)?;
    let seconds = match unit.trim() {
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(expected()),
    };
    Ok(size(amount).map_err(|_| expected())?.0 as f64 / seconds)
}

#[cfg(test)]
mod tests {
    use super::{Bytes, rate, size};

    #[test]
    fn sizes_are_read_as_limits_are_written() {
        for (text, bytes) in [
            ("1048576", 1 << 20),
            ("512M", 512 << 20),
            ("512Mi", 512 << 20),
            ("512 MiB", 512 << 20),
            ("512mb", 512 << 20),
            ("1.5g", 3 << 29),
            ("0", 0),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(size(text), Ok(Bytes(bytes)), "{text}");
        }
        for text in
            ["", "M", "-1", "1x", "1.2.3M", "17179869184G", "99999999999999999999", "1e9", "NaN", "inf"]
        {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_are_sizes_by_time() {
        assert_eq!(rate("3600K/h"), Ok(1024.0));
        assert_eq!(rate("1M/min"), Ok(1_048_576.0 / 60.0));
        assert!(rate("1M").is_err() && rate("1M/y").is_err() && rate("/h").is_err());
    }
}
