//! What a program writes down about itself, and how it compares with what memtrace says.
//!
//! Lines `NANOSECONDS NAME VALUE`, with the clock since boot -> a value at an instant. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

/// The course of each figure, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Told(BTreeMap<String, Vec<(u64, f64)>>);

impl Told {
    /// Reads the file; a last line that was cut by the kill is left out.
    pub(crate) fn parse(text: &str) -> Self {
        let mut told = Self::default();
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let mut words = line.split_whitespace();
            let (Some(at), Some(name), Some(value)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            if let (Ok(at), Ok(value)) = (at.parse(), value.parse()) {
                told.0.entry(name.to_owned()).or_default().push((at, value));
            }
        }
        told
    }

    /// The figure at an instant, between the two lines around it; without an instant the last one.
    pub(crate) fn at(&self, name: &str, instant: Option<u64>) -> Option<f64> {
        let course = self.0.get(name)?;
        let last = course.last().map(|(_, value)| *value);
        let Some(instant) = instant else { return last };
        let after = course.partition_point(|(at, _)| *at <= instant);
        let Some((later, value)) = course.get(after).copied() else { return last };
        let Some((earlier, before)) = after.checked_sub(1).and_then(|before| course.get(before)).copied()
        else {
            return Some(value);
        };
        #[expect(clippy::cast_precision_loss, reason = "a part of a moment")]
        let part = (instant - earlier) as f64 / (later - earlier).max(1) as f64;
        Some(before + (value - before) * part)
    }
}

/// A figure of memtrace beside the program's own.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Compared {
    pub(crate) name: String,
    pub(crate) truth: f64,
    /// `None` where memtrace has no such figure.
    pub(crate) said: Option<f64>,
    pub(crate) allowed_percent: f64,
}

impl Compared {
    /// In percent of the truth.
    pub(crate) fn error_percent(&self) -> Option<f64> {
        Some((self.said? - self.truth).abs() / self.truth.abs().max(1.0) * 100.0)
    }

    pub(crate) fn is_right(&self) -> bool {
        self.error_percent().is_some_and(|error| error <= self.allowed_percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_taken_between_the_two_lines_around_the_instant() {
        let told = Told::parse("100 allocated 10\n200 allocated 30\n150 free 7\n300 alloc");
        assert_eq!(told.at("allocated", Some(150)), Some(20.0));
        assert_eq!(told.at("allocated", Some(50)), Some(10.0));
        assert_eq!(told.at("allocated", Some(900)), Some(30.0));
        assert_eq!((told.at("allocated", None), told.at("free", None)), (Some(30.0), Some(7.0)));
        assert_eq!(told.at("alloc", None), None);
    }

    #[test]
    fn a_figure_that_is_not_told_is_not_right() {
        let compared = |said| Compared { name: "free".to_owned(), truth: 100.0, said, allowed_percent: 2.0 };
        assert!(compared(Some(98.5)).is_right() && !compared(Some(103.0)).is_right());
        assert!(!compared(None).is_right());
    }
}
