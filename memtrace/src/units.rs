//! Numbers with units, and their text.
//!
//! Input: counts from the kernel. Output: newtypes with a readable `Display`; JSON has the raw number. Nothing here
//! does I/O.

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

/// How a figure was determined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// From the kernel's or the allocator's own counters.
    Read,
    /// From page tables.
    Measured,
    /// From samples, with their period.
    Sampled,
    /// From the shape of the memory, by a rule.
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

#[cfg(test)]
mod tests {
    use super::Bytes;

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
}
