//! Compact figures for the cells of the live view.
//!
//! Numbers -> text. Units are those of `units::Bytes` by their first letter: K is 1024.

use jiff::{Timestamp, tz::TimeZone};

use crate::units::Bytes;

/// Three digits and a unit, five columns at most: `512B`, `9.80M`, `64.0M`, `1023M`.
pub fn bytes(Bytes(bytes): Bytes) -> String {
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 'K';
    for next in ['M', 'G', 'T', 'P', 'E'] {
        if value < 1023.5 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    let decimals = match value {
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}{unit}")
}

/// The same with its sign; a figure that rounds to nothing is `0`.
pub fn change(by: f64) -> String {
    match Bytes(by.abs().round() as u64) {
        Bytes(0) => "0".to_owned(),
        size if by < 0.0 => format!("-{}", bytes(size)),
        size => format!("+{}", bytes(size)),
    }
}

/// `42s`, `3m20s`, `5h12m`, `9d4h`: six columns up to 99 days.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..60 => format!("{whole}s"),
        60..3_600 => format!("{}m{:02}s", whole / 60, whole % 60),
        3_600..86_400 => format!("{}h{:02}m", whole / 3_600, whole / 60 % 60),
        _ => format!("{}d{:02}h", whole / 86_400, whole / 3_600 % 24),
    }
}

/// A count with thousands separators: `12,345`.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let first = digits.len() % 3;
    digits
        .chars()
        .enumerate()
        .flat_map(|(index, digit)| {
            let comma = index > 0 && index % 3 == first;
            comma.then_some(',').into_iter().chain([digit])
        })
        .collect()
}

/// A share in percent: `7%`; `<1%` if it is small but not 0.
pub fn percent(share: f64) -> String {
    match share * 100.0 {
        percent if percent > 0.0 && percent < 0.95 => format!("{percent:.1}%"),
        percent => format!("{percent:.0}%"),
    }
}

/// Date and time, UTC.
pub fn time(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Time of day, UTC.
pub fn clock(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::{Bytes, bytes, change, count, duration, percent};

    #[test]
    fn sizes_have_three_digits_and_fit_five_columns() {
        for (size, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (64 << 20, "64.0M"),
            (412 << 20, "412M"),
            ((1 << 30) - 1, "1.00G"),
            (u64::MAX, "16.0E"),
        ] {
            assert_eq!(bytes(Bytes(size)), text);
        }
        for shift in 0..64 {
            for size in [1_u64 << shift, (1 << shift) - 1, (1 << shift) / 1000 * 999] {
                assert!(bytes(Bytes(size)).len() <= 5, "{size}: {}", bytes(Bytes(size)));
            }
        }
    }

    #[test]
    fn signs_counts_times_and_shares() {
        assert_eq!([change(0.2), change(1024.0), change(-1536.0)], ["0", "+1.00K", "-1.50K"]);
        assert_eq!(
            [count(7), count(999), count(12_345), count(1_234_567)],
            ["7", "999", "12,345", "1,234,567"]
        );
        assert_eq!(
            [duration(41.6), duration(200.0), duration(18_720.0), duration(792_000.0)],
            ["42s", "3m20s", "5h12m", "9d04h"]
        );
        assert_eq!([percent(0.0), percent(0.004), percent(0.5), percent(1.2)], ["0%", "0.4%", "50%", "120%"]);
    }
}
