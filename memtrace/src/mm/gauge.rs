//! A figure over time, in fixed memory, and how it changed over each window.
//!
//! Input: readings with their time. Output: the change over [`Window`]s. Pure.

use std::collections::VecDeque;

use super::growth::Window;

/// Readings kept for each window, one more than its tenths.
const READINGS: usize = 11;

/// A reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    at: u64,
    value: u64,
}

/// A figure over time.
#[derive(Clone, Debug, Default)]
pub struct Gauge {
    last: Option<Reading>,
    windows: [VecDeque<Reading>; Window::ALL.len()],
}

/// How a figure changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// More, or less, than at the start.
    pub by: i64,
    /// Over so many nanoseconds: the window, or less for a figure that is younger.
    pub over: u64,
}

impl Gauge {
    /// Takes a reading; times must not go back.
    pub fn read(&mut self, at: u64, value: u64) {
        let reading = Reading { at, value };
        self.last = Some(reading);
        for (window, kept) in Window::ALL.iter().zip(&mut self.windows) {
            let spacing = window.length() / (READINGS as u64 - 1);
            if kept.back().is_none_or(|last| at >= last.at.saturating_add(spacing)) {
                kept.push_back(reading);
            }
            // One reading at or before the window's start is enough.
            let from = at.saturating_sub(window.length());
            while kept.get(1).is_some_and(|second| second.at <= from) {
                kept.pop_front();
            }
        }
    }

    /// The change over a window that ends with the last reading; `None` with one reading.
    pub fn change(&self, window: Window) -> Option<Change> {
        let last = self.last?;
        let kept = self.windows.iter().zip(Window::ALL).find(|(_, of)| *of == window)?.0;
        let first = kept.front().filter(|first| first.at < last.at)?;
        let by = i128::from(last.value) - i128::from(first.value);
        Some(Change { by: i64::try_from(by).ok()?, over: last.at - first.at })
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, Gauge, READINGS, Window};

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn the_change_is_over_the_window_or_the_life() {
        let mut gauge = Gauge::default();
        gauge.read(SECOND, 100);
        assert_eq!(gauge.change(Window::Seconds10), None);
        for second in 2..=700 {
            gauge.read(second * SECOND, second * 100);
        }
        for (window, seconds) in [(Window::Seconds10, 10), (Window::Minute1, 60), (Window::Minutes10, 600)] {
            let Change { by, over } = gauge.change(window).unwrap();
            let spacing = seconds / 10;
            assert!(over >= seconds * SECOND && over <= (seconds + spacing) * SECOND, "{window:?}: {over}");
            assert_eq!(by, (over / SECOND * 100) as i64);
        }
        assert!(gauge.windows.iter().all(|kept| kept.len() <= READINGS + 1));
    }

    #[test]
    fn a_figure_that_falls_changes_downwards() {
        let mut gauge = Gauge::default();
        gauge.read(0, 500);
        gauge.read(SECOND, 200);
        assert_eq!(gauge.change(Window::Minute1), Some(Change { by: -300, over: SECOND }));
    }
}
