//! The values of cells: numbers, never formatted text.
//!
//! Facts of a snapshot -> [`Value`]s, which are compared, filtered, printed and drawn.

use std::{cmp::Ordering, sync::Arc};

use jiff::Timestamp;
use serde_json::json;

use super::format;
use crate::{text, units::Bytes};

/// A cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Unknown or missing.
    Unknown,
    /// Words.
    Text(String),
    /// A size.
    Bytes(Bytes),
    /// A change of a size, or its rate per second.
    Change(f64),
    /// A share between 0 and 1.
    Share(f64),
    /// A count.
    Count(u64),
    /// A number that is an id, such as a pid.
    Number(u64),
    /// A duration.
    Seconds(f64),
    /// A point in time.
    Time(Timestamp),
    /// A size over time, oldest first.
    Trend(Arc<[Option<Bytes>]>),
}

impl Value {
    /// Known words.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Words, if known.
    pub fn words(text: Option<&str>) -> Self {
        text.map_or(Self::Unknown, |text| Self::Text(text.to_owned()))
    }

    /// A size, if it is known.
    pub fn bytes(bytes: Option<Bytes>) -> Self {
        bytes.map_or(Self::Unknown, Self::Bytes)
    }

    /// A change, if it is known.
    pub fn change(by: Option<f64>) -> Self {
        by.filter(|by| by.is_finite()).map_or(Self::Unknown, Self::Change)
    }

    /// The share of `part` in `whole`, if both are known.
    pub fn share_of(part: Option<Bytes>, whole: Option<Bytes>) -> Self {
        match (part, whole) {
            (Some(Bytes(part)), Some(Bytes(whole))) if whole > 0 => Self::Share(part as f64 / whole as f64),
            _ => Self::Unknown,
        }
    }

    /// A duration, if it is known.
    pub fn seconds(seconds: Option<f64>) -> Self {
        seconds.filter(|seconds| seconds.is_finite()).map_or(Self::Unknown, Self::Seconds)
    }

    /// True when the value is unknown.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }

    /// Its number; for a trend, the newest value.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Unknown | Self::Text(_) => None,
            Self::Bytes(Bytes(bytes)) => Some(*bytes as f64),
            Self::Change(number) | Self::Share(number) | Self::Seconds(number) => Some(*number),
            Self::Count(number) | Self::Number(number) => Some(*number as f64),
            Self::Time(time) => Some(time.as_millisecond() as f64 / 1e3),
            Self::Trend(points) => points.iter().rev().flatten().next().map(|Bytes(bytes)| *bytes as f64),
        }
    }

    /// Smaller first, words alphabetically. Unknown values are last in either direction.
    pub fn order(&self, other: &Self, is_descending: bool) -> Ordering {
        let known = match (self, other) {
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            _ => match (self.number(), other.number()) {
                (Some(a), Some(b)) => a.total_cmp(&b),
                (Some(_), None) => return Ordering::Less,
                (None, Some(_)) => return Ordering::Greater,
                (None, None) => return self.is_unknown().cmp(&other.is_unknown()),
            },
        };
        if is_descending { known.reverse() } else { known }
    }

    /// The value as short text.
    pub fn short(&self) -> String {
        match self {
            Self::Unknown => "-".to_owned(),
            Self::Text(words) => text::printable_start(words),
            Self::Bytes(bytes) => format::bytes(*bytes),
            Self::Change(by) => format::change(*by),
            Self::Share(share) => format::percent(*share),
            Self::Count(count) => format::count(*count),
            Self::Number(number) => number.to_string(),
            Self::Seconds(seconds) => format::duration(*seconds),
            Self::Time(time) => format::time(*time),
            Self::Trend(_) => self.number().map_or("-".to_owned(), |now| format::bytes(Bytes(now as u64))),
        }
    }

    /// The value as JSON: raw bytes, seconds, shares.
    pub fn json(&self) -> serde_json::Value {
        match self {
            Self::Unknown => json!(null),
            Self::Text(words) => json!(words),
            Self::Bytes(Bytes(bytes)) => json!(bytes),
            Self::Change(number) | Self::Share(number) | Self::Seconds(number) => json!(number),
            Self::Count(number) | Self::Number(number) => json!(number),
            Self::Time(time) => json!(time),
            Self::Trend(points) => json!(points),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::{Bytes, Value};

    #[test]
    fn the_unknown_is_last_both_ways() {
        let (small, large) = (Value::Bytes(Bytes(1)), Value::Bytes(Bytes(2)));
        for is_descending in [false, true] {
            assert_eq!(small.order(&Value::Unknown, is_descending), Ordering::Less);
            assert_eq!(Value::Unknown.order(&small, is_descending), Ordering::Greater);
        }
        assert_eq!(small.order(&large, false), Ordering::Less);
        assert_eq!(small.order(&large, true), Ordering::Greater);
    }

    #[test]
    fn a_part_of_nothing_is_unknown() {
        assert!(Value::share_of(Some(Bytes(1)), Some(Bytes(0))).is_unknown());
        assert_eq!(Value::share_of(Some(Bytes(1)), Some(Bytes(4))), Value::Share(0.25));
    }
}
