//! A value over time, in fixed memory, and its change over each window.
//!
//! Input: readings with their time. Output: the change over [`Window`]s. Pure.

use std::collections::VecDeque;

use super::growth::Window;

/// Readings kept for each window: one for each tenth, and one more.
const READINGS: usize = 11;

/// A reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    at: u64,
    /// The last time at which the value was still the same.
    until: u64,
    value: u64,
}

/// A value over time. Only changes are stored: a node has tens of thousands of values, and most of them are constant.
#[derive(Clone, Debug, Default)]
pub struct Gauge {
    /// The last reading.
    last: Option<Reading>,
    /// `None` while the value has never changed.
    windows: Option<Box<Windows>>,
}

type Windows = [VecDeque<Reading>; Window::ALL.len()];

/// The change of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Difference between the end and the start.
    pub by: i64,
    /// Time in ns between the two: the window, or less for a younger value.
    pub over: u64,
}

impl Gauge {
    /// Takes a reading; times must not go back.
    pub fn read(&mut self, at: u64, value: u64) {
        let reading = Reading { at, until: at, value };
        let Some(last) = &mut self.last else {
            self.last = Some(reading);
            return;
        };
        let before = *last;
        if self.windows.is_none() && last.value == value {
            last.until = at;
            return;
        }
        *last = reading;
        let begin = || Box::new(std::array::from_fn(|_| VecDeque::from([before])));
        for (window, kept) in Window::ALL.iter().zip(self.windows.get_or_insert_with(begin).iter_mut()) {
            let spacing = window.length() / (READINGS as u64 - 1);
            match kept.back_mut() {
                Some(last) if last.value == value => last.until = at,
                Some(last) if at < last.at.saturating_add(spacing) => {}
                _ => kept.push_back(reading),
            }
            // One reading at or before the window's start is enough.
            let from = at.saturating_sub(window.length());
            while kept.get(1).is_some_and(|second| second.at <= from) {
                kept.pop_front();
            }
        }
        let has_one = |kept: &VecDeque<Reading>| kept.len() == 1 && kept.iter().all(|one| one.value == value);
        // The value was constant over all windows.
        if let Some(windows) = self.windows.take_if(|windows| windows.iter().all(has_one)) {
            self.last = windows.iter().flatten().max_by_key(|reading| reading.at).copied();
        }
    }

    /// Records that the value was still the same at `at`, without a reading.
    pub fn stand(&mut self, at: u64) {
        if let Some(last) = self.last.filter(|last| last.until < at) {
            self.read(at, last.value);
        }
    }

    /// Until when the changes over all windows stay the same if the value does.
    pub fn stands_until(&self) -> u64 {
        let Some(last) = self.last else { return 0 };
        let Some(windows) = &self.windows else { return if last.at < last.until { u64::MAX } else { 0 } };
        let until = |(window, kept): (&Window, &VecDeque<Reading>)| match (kept.back(), kept.get(1)) {
            // The last change is not stored yet, because it came too soon after the one before.
            (Some(newest), _) if newest.value != last.value => 0,
            (_, Some(second)) => second.at.saturating_add(window.length()),
            (_, None) => u64::MAX,
        };
        Window::ALL.iter().zip(windows.iter()).map(until).min().unwrap_or(0)
    }

    /// The change over a window that ends with the last reading; `None` with one reading.
    pub fn change(&self, window: Window) -> Option<Change> {
        let last = self.last?;
        let first = match &self.windows {
            None => last,
            Some(windows) => *windows.iter().zip(Window::ALL).find(|(_, of)| *of == window)?.0.front()?,
        };
        let (end, begin) = (last.until, first.at);
        if begin >= end {
            return None;
        }
        let by = i128::from(last.value) - i128::from(first.value);
        // Start of the window, limited to the time in which the value was that of `first`.
        let from = end.saturating_sub(window.length()).min(first.until).max(begin);
        Some(Change { by: i64::try_from(by).ok()?, over: end.saturating_sub(from) })
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
        assert!(
            gauge.windows.iter().flat_map(|windows| windows.iter()).all(|kept| kept.len() <= READINGS + 1)
        );
    }

    #[test]
    fn a_figure_that_is_still_takes_one_reading_and_its_next_step_is_whole() {
        let mut gauge = Gauge::default();
        (0..5000).for_each(|second| gauge.read(second * SECOND, 100));
        assert_eq!(gauge.change(Window::Minutes10), Some(Change { by: 0, over: 600 * SECOND }));
        assert!(gauge.windows.is_none());
        gauge.read(5000 * SECOND, 700);
        for (window, seconds) in [(Window::Seconds10, 10), (Window::Minute1, 60), (Window::Minutes10, 600)] {
            assert_eq!(gauge.change(window), Some(Change { by: 600, over: seconds * SECOND }));
        }
        // The value stays constant, and the step leaves each window in time, one reading late at most.
        for second in 5001..=5700 {
            gauge.read(second * SECOND, 700);
            let by = |window| gauge.change(window).unwrap().by;
            for (window, seconds) in [(Window::Seconds10, 10), (Window::Minutes10, 600)] {
                let since = second - 5000;
                assert!(since >= seconds || by(window) == 600, "{window:?} after {since} s");
                assert!(since <= seconds + seconds / 10 || by(window) == 0, "{window:?} after {since} s");
            }
        }
    }

    #[test]
    fn a_figure_that_falls_changes_downwards() {
        let mut gauge = Gauge::default();
        gauge.read(0, 500);
        gauge.read(SECOND, 200);
        assert_eq!(gauge.change(Window::Minute1), Some(Change { by: -300, over: SECOND }));
    }

    /// A gauge that is read only when `stands_until` has passed equals one that is read each second.
    #[test]
    fn what_stands_need_not_be_read() {
        let (mut each, mut seldom) = (Gauge::default(), Gauge::default());
        let (mut stands_until, mut ticked, mut skipped) = (0, 0, 0);
        let mut was = 0;
        for second in 1..2500_u64 {
            // Steps, a burst, and long rests.
            let value = match second {
                0..=99 => 100,
                100..=130 => 100 + second,
                131..=1400 => 300,
                _ => 250,
            };
            let at = second * SECOND;
            each.read(at, value);
            if value != was || stands_until <= at {
                seldom.stand(ticked);
                seldom.read(at, value);
                stands_until = seldom.stands_until();
            } else {
                skipped += 1;
            }
            (ticked, was) = (at, value);
            let by = |gauge: &Gauge| Window::ALL.map(|window| gauge.change(window).map(|change| change.by));
            assert_eq!(by(&each), by(&seldom), "after {second} s");
        }
        assert!(skipped > 1500, "{skipped}");
        assert!(seldom.windows.is_none(), "it has come to rest");
    }
}
